//! Native histograms in the bucket form of Prometheus' JSON: every populated bucket with its bounds.

use model::FloatHistogram;
use model::histogram::Bucket;

use super::json::push_quoted_value;

/// Appends `{"count":"…","sum":"…","buckets":[[boundaries,"lower","upper","count"],…]}`. Boundaries are 0 where only
/// the upper bound belongs to the bucket, 1 where only the lower does, 2 for neither, 3 for both.
pub(crate) fn push_histogram(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    out.extend_from_slice(b"{\"count\":");
    push_quoted_value(out, histogram.count);
    out.extend_from_slice(b",\"sum\":");
    push_quoted_value(out, histogram.sum);
    let mut separator: &[u8] = b",\"buckets\":[";
    for bucket in histogram.all_buckets().iter().filter(|bucket| bucket.count != 0.0) {
        out.extend_from_slice(separator);
        separator = b",";
        push_bucket(out, bucket);
    }
    if separator == b"," {
        out.push(b']');
    }
    out.push(b'}');
}

fn push_bucket(out: &mut Vec<u8>, bucket: &Bucket) {
    let boundaries = match (bucket.lower_inclusive, bucket.upper_inclusive) {
        (false, true) => b'0',
        (true, false) => b'1',
        (false, false) => b'2',
        (true, true) => b'3',
    };
    out.extend_from_slice(&[b'[', boundaries, b',']);
    push_quoted_value(out, bucket.lower);
    out.push(b',');
    push_quoted_value(out, bucket.upper);
    out.push(b',');
    push_quoted_value(out, bucket.count);
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use model::BucketSpan;
    use model::histogram::CUSTOM_BUCKETS_SCHEMA;

    use super::*;

    fn written(histogram: &FloatHistogram) -> String {
        let mut out = Vec::new();
        push_histogram(&mut out, histogram);
        String::from_utf8(out).unwrap()
    }

    fn span(offset: i32, length: u32) -> BucketSpan {
        BucketSpan { offset, length }
    }

    /// As upstream's API tests have it.
    #[test]
    fn exponential_buckets_of_both_signs() {
        let histogram = FloatHistogram {
            schema: 2,
            count: 19.0,
            sum: 18.4,
            zero_threshold: 0.001,
            zero_count: 2.0,
            positive_spans: vec![span(0, 2), span(1, 2)],
            positive_buckets: vec![1.0, 2.0, 0.0, 1.5],
            negative_spans: vec![span(0, 1)],
            negative_buckets: vec![3.0],
            ..FloatHistogram::default()
        };
        assert_eq!(
            written(&histogram),
            r#"{"count":"19","sum":"18.4","buckets":[[1,"-1","-0.8408964152537144","3"],[3,"-0.001","0.001","2"],[0,"0.8408964152537144","1","1"],[0,"1","1.189207115002721","2"],[0,"1.6817928305074288","2","1.5"]]}"#
        );
    }

    #[test]
    fn custom_bounds() {
        let histogram = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: 6.0,
            sum: f64::NAN,
            custom_values: vec![-1.0, 5.0],
            positive_spans: vec![span(0, 3)],
            positive_buckets: vec![1.0, 2.0, 3.0],
            ..FloatHistogram::default()
        };
        assert_eq!(
            written(&histogram),
            r#"{"count":"6","sum":"NaN","buckets":[[3,"-Inf","-1","1"],[0,"-1","5","2"],[0,"5","+Inf","3"]]}"#
        );
    }

    #[test]
    fn no_buckets_no_key() {
        assert_eq!(written(&FloatHistogram::default()), r#"{"count":"0","sum":"0"}"#);
    }

    #[test]
    fn the_zero_bucket_cuts_its_neighbours() {
        let histogram = FloatHistogram {
            schema: 0,
            count: 2.0,
            zero_threshold: 0.75,
            positive_spans: vec![span(0, 1)],
            positive_buckets: vec![1.0],
            negative_spans: vec![span(0, 1)],
            negative_buckets: vec![1.0],
            ..FloatHistogram::default()
        };
        assert_eq!(
            written(&histogram),
            r#"{"count":"2","sum":"0","buckets":[[1,"-1","-0.75","1"],[0,"0.75","1","1"]]}"#
        );
    }
}
