//! `[webhooks]`: telling others what happens.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::reader::Reader;
use crate::config::tls::holds_authorities;
use crate::jobs::webhook_settings::WebhookSettings;
use crate::net::reach::Reach;

const SECTION: &str = "webhooks";
const DAY: Duration = Duration::from_secs(86_400);

/// Reads the section.
pub fn read(default: WebhookSettings, from: &mut Reader) -> WebhookSettings {
    let shown = default.authorities.as_ref();
    let shown = shown.map_or_else(String::new, |file| file.display().to_string());
    let authorities = from.checked(SECTION, "authorities", shown, holds_authorities);
    let (soon, second) = (Duration::from_millis(10), Duration::from_secs(1));
    let mut time = |key, default, least, most| from.within(SECTION, key, default, least..=most);
    let (time_out, first_delay) = (
        time("timeout", default.time, soon, 60 * second),
        time("first_delay", default.first_delay, soon, DAY),
    );
    let longest_delay = time("longest_delay", default.longest_delay, soon, DAY);
    let give_up_after = time("give_up_after", default.give_up_after, soon, 30 * DAY);
    let keep_delivered = time("keep_delivered", default.keep_delivered, soon, 365 * DAY);
    let keep_dead = time("keep_dead", default.keep_dead, soon, 365 * DAY);
    let mut count = |key, default| from.count(SECTION, key, default, 1..=1_000);
    let at_once = count("at_once", default.at_once);
    let at_once_each = count("at_once_each", default.at_once_each);
    WebhookSettings {
        reach: Reach {
            allow: from.take(SECTION, "allow", default.reach.allow),
            clear: from.take(SECTION, "http", default.reach.clear),
        },
        authorities: (!authorities.is_empty()).then(|| PathBuf::from(authorities)),
        temporary: from.take(SECTION, "temporary_names", default.temporary),
        time: time_out,
        first_delay,
        longest_delay,
        give_up_after,
        keep_delivered,
        keep_dead,
        at_once,
        at_once_each,
    }
}
