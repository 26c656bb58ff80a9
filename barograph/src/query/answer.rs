//! What a server answered.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value as Json;

/// Labels by name.
pub(super) type Labels = BTreeMap<String, String>;

/// An answer of the API.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) data: Result<Data, Failure>,
    pub(super) warnings: Vec<String>,
    pub(super) infos: Vec<String>,
}

/// Why there is no data.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// As the API names it.
    pub(super) kind: String,
    pub(super) message: String,
}

/// What was asked for.
#[derive(Debug, PartialEq)]
pub(super) enum Data {
    /// A number or a text.
    Single(Point),
    /// A point per series.
    Vector(Vec<Series>),
    /// Points of series over a time.
    Matrix(Vec<Series>),
    /// Series without points.
    Series(Vec<Labels>),
    /// Names or values.
    Names(Vec<String>),
}

/// A series.
#[derive(Debug, PartialEq)]
pub(super) struct Series {
    pub(super) labels: Labels,
    /// Ascending.
    pub(super) points: Vec<Point>,
}

/// A value at a time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    pub(super) time_ms: i64,
    /// As the server wrote it; histograms in short.
    pub(super) text: String,
    /// None for histograms and texts.
    pub(super) number: Option<f64>,
}

impl Answer {
    /// Reads an answer. Servers in front of the API may answer with anything: it is shown, then.
    pub(super) fn parse(body: &str) -> Result<Self, String> {
        let foreign = || {
            let start: String = body.trim().chars().take(300).collect();
            format!("this is no answer of the Prometheus API: {start}")
        };
        let json: Json = serde_json::from_str(body).map_err(|_| foreign())?;
        let text = |key: &str| json.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
        let texts = |key: &str| -> Vec<String> {
            let list = json.get(key).and_then(Json::as_array).into_iter().flatten();
            list.filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let data = match text("status").as_str() {
            "success" => Ok(json.get("data").and_then(data).ok_or_else(foreign)?),
            "error" => Err(Failure { kind: text("errorType"), message: text("error") }),
            _ => return Err(foreign()),
        };
        Ok(Self { data, warnings: texts("warnings"), infos: texts("infos") })
    }
}

fn data(json: &Json) -> Option<Data> {
    if let Some(list) = json.as_array() {
        let names: Option<Vec<String>> = list.iter().map(|n| n.as_str().map(str::to_owned)).collect();
        return match names {
            Some(names) => Some(Data::Names(names)),
            None => list.iter().map(labels).collect::<Option<_>>().map(Data::Series),
        };
    }
    let result = json.get("result")?;
    let each = |points: fn(&Json) -> Option<Vec<Point>>| -> Option<Vec<Series>> {
        let list = result.as_array()?.iter();
        list.map(|s| Some(Series { labels: labels(s.get("metric")?)?, points: points(s)? })).collect()
    };
    match json.get("resultType")?.as_str()? {
        "vector" => {
            each(|s| Some(vec![point(s.get("value").or_else(|| s.get("histogram"))?)?])).map(Data::Vector)
        }
        "matrix" => each(points).map(Data::Matrix),
        _ => point(result).map(Data::Single),
    }
}

fn labels(json: &Json) -> Option<Labels> {
    json.as_object()?.iter().map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn points(series: &Json) -> Option<Vec<Point>> {
    let mut all = Vec::new();
    for key in ["values", "histograms"] {
        for json in series.get(key).and_then(Json::as_array).into_iter().flatten() {
            all.push(point(json)?);
        }
    }
    all.sort_by_key(|p| p.time_ms);
    Some(all)
}

fn point(json: &Json) -> Option<Point> {
    let [time, value] = json.as_array()?.as_slice() else { return None };
    let time_ms = (time.as_f64()? * 1_000.0).round() as i64;
    Some(match value.as_str() {
        Some(text) => Point { time_ms, text: text.to_owned(), number: number(text) },
        None => Point { time_ms, text: histogram(value)?, number: None },
    })
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

/// `{count:3, sum:5, (0,1]:2}`.
fn histogram(json: &Json) -> Option<String> {
    let text = |key: &str| json.get(key).and_then(Json::as_str);
    let mut out = format!("{{count:{}, sum:{}", text("count")?, text("sum")?);
    for bucket in json.get("buckets").and_then(Json::as_array).into_iter().flatten() {
        let [bounds, low, high, count] = bucket.as_array()?.as_slice() else { return None };
        let (left, right) = match bounds.as_u64()? {
            0 => ('(', ']'),
            1 => ('[', ')'),
            2 => ('(', ')'),
            _ => ('[', ']'),
        };
        let (low, high, count) = (low.as_str()?, high.as_str()?, count.as_str()?);
        write!(out, ", {left}{low},{high}{right}:{count}").ok()?;
    }
    out.push('}');
    Some(out)
}

/// A series as it is written in queries: `up{job="node"}`.
pub(super) fn series_name(labels: &Labels) -> String {
    let name = labels.get("__name__").map_or("", String::as_str);
    let pairs = labels.iter().filter(|(name, _)| *name != "__name__");
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}={value:?}")).collect();
    match (name, pairs.as_slice()) {
        ("", []) => "{}".to_owned(),
        (name, []) => name.to_owned(),
        (name, pairs) => format!("{name}{{{}}}", pairs.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_every_kind() {
        let parse = |body: &str| Answer::parse(body).expect("an answer");
        let vector = parse(
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a b"},"value":[1.5,"+Inf"]}]},"infos":["i"]}"#,
        );
        let Ok(Data::Vector(series)) = vector.data else { panic!("a vector") };
        assert_eq!(series_name(&series[0].labels), r#"up{job="a b"}"#);
        assert_eq!((series[0].points[0].time_ms, series[0].points[0].number), (1_500, Some(f64::INFINITY)));
        assert_eq!(vector.infos, ["i"]);
        let matrix = parse(
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"histograms":[[2,{"count":"3","sum":"5","buckets":[[0,"0","1","2"],[3,"-1","1","1"]]}]],"values":[[1,"7"]]}]}}"#,
        );
        let Ok(Data::Matrix(series)) = matrix.data else { panic!("a matrix") };
        let texts: Vec<&str> = series[0].points.iter().map(|p| p.text.as_str()).collect();
        assert_eq!(texts, ["7", "{count:3, sum:5, (0,1]:2, [-1,1]:1}"]);
        let failure =
            parse(r#"{"status":"error","errorType":"bad_data","error":"no"}"#).data.expect_err("failed");
        assert_eq!((failure.kind.as_str(), failure.message.as_str()), ("bad_data", "no"));
        assert_eq!(parse(r#"{"status":"success","data":["a"]}"#).data, Ok(Data::Names(vec!["a".into()])));
        let series = parse(r#"{"status":"success","data":[{"a":"b"}]}"#).data;
        assert_eq!(series, Ok(Data::Series(vec![Labels::from([("a".into(), "b".into())])])));
        for body in
            ["", "<html>", "{}", r#"{"status":"success"}"#, r#"{"status":"success","data":{"result":1}}"#]
        {
            assert!(Answer::parse(body).expect_err("foreign").contains("no answer of the Prometheus API"));
        }
    }
}
