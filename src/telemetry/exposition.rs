//! Metrics as Prometheus reads them: text format 0.0.4, or OpenMetrics 1.0.

use std::fmt::{Display, Write as _};

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::data::{
    AggregatedMetrics, Histogram, Metric, MetricData, ResourceMetrics,
};

/// Which text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// <https://prometheus.io/docs/specs/om/open_metrics_spec/>
    OpenMetrics,
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/>
    Text,
}

impl Format {
    /// The one that the value of a header `Accept` likes better; the plain one if it does not say.
    pub fn wanted(accept: &str) -> Self {
        let weight = |wanted: &str| {
            let ranges = accept.split(',').map(|range| range.trim().split(';'));
            let weights = ranges.filter_map(|mut parts| {
                let kind = parts.next()?.trim();
                let weight = parts.find_map(|part| part.trim().strip_prefix("q="));
                let weight = weight.map_or(Some(1.0), |weight| weight.parse::<f32>().ok())?;
                kind.eq_ignore_ascii_case(wanted).then_some(weight)
            });
            weights.fold(0.0, f32::max)
        };
        let open = weight("application/openmetrics-text");
        match open > 0.0 && open >= weight("text/plain") {
            true => Self::OpenMetrics,
            false => Self::Text,
        }
    }

    /// What it is called in `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Writes all metrics out, by name; series of one metric by their labels.
pub fn render(all: &ResourceMetrics, format: Format) -> String {
    let metrics = all.scope_metrics().flat_map(|scope| scope.metrics());
    let mut families: Vec<_> = metrics.map(|metric| family(metric, format)).collect();
    families.sort();
    let mut text: String = families.into_iter().map(|(_, text)| text).collect();
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

/// The name of a metric, and its lines.
fn family(metric: &Metric, format: Format) -> (String, String) {
    let (unit, suffix) = match metric.unit() {
        "By" => ("bytes", "_bytes"),
        "s" => ("seconds", "_seconds"),
        _ => ("", ""),
    };
    let name = metric.name().replace('.', "_") + suffix;
    let mut series = Series {
        name: &name,
        lines: Vec::new(),
    };
    let kind = match metric.data() {
        AggregatedMetrics::F64(data) => series.all(data, |value| format!("{value:?}")),
        AggregatedMetrics::I64(data) => series.all(data, ToString::to_string),
        AggregatedMetrics::U64(data) => series.all(data, ToString::to_string),
    };
    let mut lines = series.lines;
    lines.sort();
    // The plain format calls a counter by the name of its series.
    let titled = match (kind, format) {
        ("counter", Format::Text) => format!("{name}_total"),
        _ => name.clone(),
    };
    let mut text = format!("# TYPE {titled} {kind}\n");
    if format == Format::OpenMetrics && !unit.is_empty() {
        text += &format!("# UNIT {titled} {unit}\n");
    }
    text += &format!("# HELP {titled} {}\n", metric.description());
    text.extend(lines.into_iter().map(|(_, line)| line));
    (name, text)
}

struct Series<'a> {
    name: &'a str,
    /// Each with its labels, by which they are sorted.
    lines: Vec<(String, String)>,
}

impl Series<'_> {
    /// Takes all series of a metric, and says of what kind they are.
    fn all<T: Copy>(&mut self, data: &MetricData<T>, text: impl Fn(&T) -> String) -> &'static str {
        match data {
            MetricData::Gauge(gauge) => {
                for point in gauge.data_points() {
                    self.one("", labels(point.attributes()), text(&point.value()));
                }
                "gauge"
            }
            MetricData::Sum(sum) => {
                let (kind, suffix) = match sum.is_monotonic() {
                    true => ("counter", "_total"),
                    false => ("gauge", ""),
                };
                for point in sum.data_points() {
                    self.one(suffix, labels(point.attributes()), text(&point.value()));
                }
                kind
            }
            MetricData::Histogram(histogram) => {
                self.buckets(histogram, text);
                "histogram"
            }
            // Nobody makes one here.
            MetricData::ExponentialHistogram(_) => "unknown",
        }
    }

    fn one(&mut self, suffix: &str, labels: String, value: impl Display) {
        let shown = braced(&labels);
        let line = format!("{}{suffix}{shown} {value}\n", self.name);
        self.lines.push((labels, line));
    }

    fn buckets<T: Copy>(&mut self, histogram: &Histogram<T>, text: impl Fn(&T) -> String) {
        for point in histogram.data_points() {
            let labels = labels(point.attributes());
            let mut lines = String::new();
            let bounds = point.bounds().map(|bound| format!("{bound:?}"));
            let bounds = bounds.chain(["+Inf".to_owned()]);
            let mut so_far = 0;
            for (bound, count) in bounds.zip(point.bucket_counts()) {
                so_far += count;
                let comma = if labels.is_empty() { "" } else { "," };
                // Writing to a text cannot fail.
                let _ = writeln!(
                    lines,
                    "{}_bucket{{{labels}{comma}le=\"{bound}\"}} {so_far}",
                    self.name
                );
            }
            let shown = braced(&labels);
            let (sum, count) = (text(&point.sum()), point.count());
            lines += &format!("{}_sum{shown} {sum}\n", self.name);
            lines += &format!("{}_count{shown} {count}\n", self.name);
            self.lines.push((labels, lines));
        }
    }
}

fn braced(labels: &str) -> String {
    match labels.is_empty() {
        true => String::new(),
        false => format!("{{{labels}}}"),
    }
}

fn labels<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> String {
    let mut all: Vec<_> = attributes
        .map(|label| {
            let value = label.value.as_str();
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            let name = label.key.as_str().replace('.', "_");
            format!("{name}=\"{}\"", value.replace('\n', "\\n"))
        })
        .collect();
    all.sort();
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_prometheus_sends_is_understood() {
        let new = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                   application/openmetrics-text;version=0.0.1;q=0.5,\
                   text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,*/*;q=0.2";
        assert_eq!(Format::wanted(new), Format::OpenMetrics);
        assert_eq!(Format::wanted("text/plain;version=0.0.4"), Format::Text);
        assert_eq!(Format::wanted("*/*"), Format::Text);
        assert_eq!(Format::wanted(""), Format::Text);
        let rather_plain = "application/openmetrics-text;q=0.1, text/plain";
        assert_eq!(Format::wanted(rather_plain), Format::Text);
        let never = "application/openmetrics-text;q=0";
        assert_eq!(Format::wanted(never), Format::Text);
    }

    #[test]
    fn labels_cannot_break_out_of_their_quotes() {
        let label = KeyValue::new("who", "a\"b\\c\nd");
        assert_eq!(labels([label].iter()), r#"who="a\"b\\c\nd""#);
    }
}
