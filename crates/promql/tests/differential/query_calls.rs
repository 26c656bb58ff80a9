//! Random calls of each function.

use super::queries::Kind::{Floats, Histograms};
use super::queries::Queries;

impl Queries<'_> {
    pub(super) fn call(&mut self, name: &str) -> String {
        match name {
            "time" | "pi" | "start" | "end" | "step" | "range" => match self.random.below(3) {
                0 => format!("{name}()"),
                1 => format!("vector({name}())"),
                _ => format!("{} * {name}()", self.selector(Floats)),
            },
            "min_of" | "max_of" => format!("vector({name}({}, {}))", self.scalar(), self.scalar()),
            "scalar" => match self.random.chance(70) {
                true => format!("vector(scalar(max({})))", self.below(|q| q.vector(Floats))),
                false => format!("scalar({})", self.below(|q| q.vector(Floats))),
            },
            "vector" => format!("vector({})", self.scalar()),
            "absent" => match self.random.below(3) {
                0 => format!("absent({})", self.below(|q| q.vector(Floats))),
                1 => "absent(nothing{job=\"a\",instance=\"1\",x=\"1\",x=\"2\"})".to_owned(),
                _ => format!("absent({{\"no.thing\",job=\"b\"}}{})", self.modifiers()),
            },
            "absent_over_time" => match self.random.below(3) {
                0 => format!("absent_over_time({})", self.range(Floats)),
                1 => format!("absent_over_time(nothing{{job=\"a\",y!=\"1\"}}[5m]{})", self.modifiers()),
                _ => "absent_over_time(limit{pod=\"p2\"}[1m])".to_owned(),
            },
            "days_in_month" | "day_of_month" | "day_of_week" | "day_of_year" | "hour" | "minute"
            | "month" | "year" => match self.random.below(4) {
                0 => format!("{name}()"),
                1 => format!("{name}(({}) * 1e7)", self.below(|q| q.vector(Floats))),
                _ => format!("{name}({})", self.below(|q| q.vector(Floats))),
            },
            "clamp" => format!(
                "clamp({}, {}, {})",
                self.below(|q| q.vector(Floats)),
                self.random.pick(&["0", "-20", "10", "NaN"]),
                self.random.pick(&["20", "100", "Inf", "5"])
            ),
            "clamp_min" | "clamp_max" => {
                format!("{name}({}, {})", self.below(|q| q.vector(Floats)), self.scalar())
            }
            "round" => format!(
                "round({}{})",
                self.below(|q| q.vector(Floats)),
                self.random.pick(&["", ", 5", ", 0.1", ", 0"])
            ),
            "label_replace" => {
                let kind = self.kind();
                let rest = self.random.pick(&[
                    "\"new\", \"x-$1\", \"instance\", \"([12])\"",
                    "\"job\", \"x-$1\", \"instance\", \"([12])\"",
                    "\"a.b\", \"${x}_$$\", \"job\", \"(?P<x>.*)\"",
                    "\"instance\", \"\", \"job\", \"a\"",
                    "\"__name__\", \"n\", \"job\", \"a\"",
                    "\"y\", \"$1\", \"nothing\", \"(.*)\"",
                ]);
                format!("label_replace({}, {rest})", self.below(|q| q.vector(kind)))
            }
            "label_join" => {
                let kind = self.kind();
                let rest = self.random.pick(&[
                    "\"new\", \"-\", \"job\", \"instance\"",
                    "\"job\", \"\", \"job\", \"label.näme\"",
                    "\"empty\", \",\"",
                    "\"__name__\", \"_\", \"__name__\", \"job\"",
                ]);
                format!("label_join({}, {rest})", self.below(|q| q.vector(kind)))
            }
            "info" => {
                let kind = self.kind();
                let selector = self.random.pick(&[
                    "",
                    "",
                    ", {version=~\".+\"}",
                    ", {__name__=\"build_info\"}",
                    ", {__name__=~\".+_info\",version=\"1\"}",
                    ", {\"lábel\"=~\".*\"}",
                    ", {__name__!=\"target_info\"}",
                ]);
                format!("info({}{selector})", self.below(|q| q.vector(kind)))
            }
            "sort" | "sort_desc" => format!("{name}({})", self.below(|q| q.vector(Floats))),
            "sort_by_label" | "sort_by_label_desc" => {
                let kind = self.kind();
                let by = self.random.pick(&["\"instance\"", "\"job\", \"instance\"", "\"none\""]);
                format!("{name}({}, {by})", self.below(|q| q.vector(kind)))
            }
            "timestamp" | "start_timestamp" => {
                let kind = self.kind();
                match self.random.chance(80) {
                    true => format!("{name}({}{})", self.selector(kind), self.modifiers()),
                    false => format!("{name}({})", self.below(|q| q.vector(kind))),
                }
            }
            _ if name.starts_with("histogram_") => self.histogram_call(name),
            _ => self.float_or_range_call(name),
        }
    }

    fn histogram_call(&mut self, name: &str) -> String {
        let classic = matches!(name, "histogram_quantile" | "histogram_quantiles" | "histogram_fraction");
        let argument = match self.random.below(10) {
            0..3 if classic => match self.random.below(4) {
                0 => "latency_bucket".to_owned(),
                1 => "{__name__=~\"latency|latency_bucket\"}".to_owned(),
                2 => {
                    format!("sum by (le{}) (latency_bucket)", self.random.pick(&["", ", job", ", __name__"]))
                }
                _ => format!("rate(latency_bucket[{}])", self.duration()),
            },
            3 => self.below(|q| q.vector(Floats)),
            _ => self.below(|q| q.vector(Histograms)),
        };
        match name {
            "histogram_quantile" => format!("histogram_quantile({}, {argument})", self.quantile()),
            "histogram_fraction" => {
                let (low, high) = (self.number(), self.number());
                format!("histogram_fraction({low}, {high}, {argument})")
            }
            "histogram_quantiles" => {
                let more = self.random.pick(&["", ", 0.75", ", 1", ", 2"]);
                format!("histogram_quantiles({argument}, \"q\", 0.5, 0.{}{more})", 1 + self.random.below(4))
            }
            _ => format!("{name}({argument})"),
        }
    }

    fn float_or_range_call(&mut self, name: &str) -> String {
        match name {
            "rate" | "increase" | "delta" => {
                let kind = self.kind();
                format!("{name}({})", self.below(|q| q.edged_range(kind, &["anchored", "smoothed"])))
            }
            "changes" | "resets" => {
                let kind = self.kind();
                format!("{name}({})", self.below(|q| q.edged_range(kind, &["anchored"])))
            }
            "irate" | "idelta" => {
                let kind = self.kind();
                format!("{name}({})", self.below(|q| q.range(kind)))
            }
            "quantile_over_time" => {
                format!("quantile_over_time({}, {})", self.quantile(), self.below(|q| q.range(Floats)))
            }
            "predict_linear" => {
                format!("predict_linear({}, {})", self.below(|q| q.range(Floats)), self.random.below(600))
            }
            "double_exponential_smoothing" => format!(
                "double_exponential_smoothing({}, 0.{}, 0.{})",
                self.below(|q| q.range(Floats)),
                1 + self.random.below(9),
                1 + self.random.below(9)
            ),
            _ if name.ends_with("_over_time") || name == "deriv" => {
                let kind = match name {
                    "sum_over_time"
                    | "avg_over_time"
                    | "count_over_time"
                    | "first_over_time"
                    | "last_over_time"
                    | "present_over_time"
                    | "ts_of_first_over_time"
                    | "ts_of_last_over_time" => self.kind(),
                    _ => Floats,
                };
                format!("{name}({})", self.below(|q| q.range(kind)))
            }
            _ => {
                let inner = self.below(|q| q.vector(Floats));
                match name {
                    // Only small numbers have these.
                    "acos" | "asin" | "atanh" => format!("{name}(({inner}) / 500)"),
                    "exp" | "sinh" | "cosh" => format!("{name}(({inner}) / 100)"),
                    _ => format!("{name}({inner})"),
                }
            }
        }
    }
}
