//! Two instances on one PostgreSQL and one bucket, under all that befalls instances, and workers who remember
//! what they were told: nothing that was acknowledged is lost, nothing is mixed up, nothing is left over.

mod asking;
mod broken;
mod clock;
mod doors;
mod end;
mod ftp;
mod ground;
mod hands;
mod https;
mod mischief;
mod oracle;
mod sftp;
mod sftp_line;
mod story;
mod worker;
mod writes;

use std::thread;

use ground::{GRACES, Ground, TENANTS};
use mischief::Mischief;
use story::{EndsIfFailed, Story};
use worker::{WORKERS, Worker};

/// What befalls each instance.
const ROUNDS: u64 = 4;

#[test]
#[expect(
    clippy::print_stdout,
    reason = "a failure is looked into with its seed"
)]
fn nothing_acknowledged_is_lost_or_mixed_up_whatever_befalls_two_instances() {
    let rounds = number_from("SEALIFT_CHAOS_ROUNDS").unwrap_or(ROUNDS);
    let seed = number_from("SEALIFT_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("SEALIFT_CHAOS_SEED={seed} SEALIFT_CHAOS_ROUNDS={rounds}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let count = WORKERS * TENANTS.len();
    let grace = GRACES[dice.usize(..GRACES.len())];
    let story = Story::on(Ground::new(grace), count as u64, rounds > 2 * ROUNDS);
    let instances = &story.ground.instances;
    instances.iter().for_each(|one| story.ground.start(one));
    let mut workers: Vec<_> = (0..count)
        .map(|number| Worker::new(&story, number, dice.u64(..)))
        .collect();
    workers.iter_mut().for_each(Worker::begin);
    thread::scope(|scope| {
        for worker in &mut workers {
            scope.spawn(|| {
                let _ends = EndsIfFailed(worker.story);
                worker.work();
            });
        }
        let mischief: Vec<_> = instances
            .iter()
            .map(|instance| {
                let mut mischief = Mischief {
                    story: &story,
                    instance,
                    dice: dice.fork(),
                };
                scope.spawn(move || {
                    let _ends = EndsIfFailed(mischief.story);
                    mischief.make(rounds);
                })
            })
            .collect();
        let all_went_well = mischief.into_iter().all(|one| one.join().is_ok());
        story.end();
        println!("{}", story.tally());
        assert!(all_went_well, "an instance did not get over it");
    });
    end::check(&story, workers);
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var_os(variable)?.to_str()?.parse().ok()
}
