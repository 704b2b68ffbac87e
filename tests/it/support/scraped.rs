//! What a server counts, as Prometheus reads it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::client::{cached, run, succeed};
use crate::support::https_door::ask;
use crate::support::server::Server;

/// One look at all metrics of a server.
pub(crate) struct Scraped {
    samples: Vec<Value>,
}

impl Scraped {
    /// Looks, in the text format, which promtool must find nothing to object to.
    #[track_caller]
    pub(crate) fn of(server: &Server) -> Self {
        let text = scrape(server, &["--header", "Accept: text/plain;version=0.0.4"]);
        let promtool = Command::new(cached("monitoring-servers/usr/bin/promtool"));
        let mut check = promtool;
        check.args(["check", "metrics"]);
        let checked = run(check, &text);
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.success() && said.is_empty(), "{said}");
        Self::read("text", &text)
    }

    /// Looks, in the format OpenMetrics.
    #[track_caller]
    pub(crate) fn open(server: &Server) -> Self {
        let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
        let text = scrape(server, &["--header", accept]);
        assert!(text.ends_with("# EOF\n"));
        Self::read("open", &text)
    }

    #[track_caller]
    fn read(format: &str, text: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/monitoring/parse.py");
        let mut parse = Command::new(cached("monitoring/bin/python"));
        parse.arg("-B").arg(script).arg(format);
        let lines = succeed(&run(parse, text));
        let samples = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        Self {
            samples: samples.collect(),
        }
    }

    /// The value of a series by its name and labels; none when there is no such series.
    pub(crate) fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found = self.samples.iter().find(|sample| {
            let own = sample[1].as_object().unwrap();
            sample[0] == name
                && own.len() == labels.len()
                && labels
                    .iter()
                    .all(|(label, value)| own.get(*label).is_some_and(|own| own == value))
        });
        found.map(|sample| sample[2].as_f64().unwrap())
    }

    /// All series of a name: their labels, and their values.
    pub(crate) fn of_name<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Value, f64)> {
        let of_name = self.samples.iter().filter(move |sample| sample[0] == name);
        of_name.map(|sample| (&sample[1], sample[2].as_f64().unwrap()))
    }

    /// The sum of all series of a name.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let of_name = self.samples.iter().filter(|sample| sample[0] == name);
        of_name.map(|sample| sample[2].as_f64().unwrap()).sum()
    }

    /// Names of series.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.samples
            .iter()
            .map(|sample| sample[0].as_str().unwrap())
    }

    /// All values of labels.
    pub(crate) fn values(&self) -> impl Iterator<Item = &str> {
        let labels = self
            .samples
            .iter()
            .map(|sample| sample[1].as_object().unwrap());
        labels.flat_map(|labels| labels.values().map(|value| value.as_str().unwrap()))
    }
}

#[track_caller]
fn scrape(server: &Server, words: &[&str]) -> String {
    let address = server.ready.listeners.metrics.unwrap();
    let answer = ask(words, &format!("http://{address}/metrics"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}
