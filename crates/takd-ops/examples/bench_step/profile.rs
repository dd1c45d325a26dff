//! How a step's time is spent, by the spans that takd-ops reports.

use crate::network::Task;
use crate::{Mode, Options};
use anyhow::Result;
use candle_core::Device;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// As many steps as take about this long, or else a few.
const SECONDS: f64 = 5.0;

/// A kind of span: its name, the seconds within, and since when the one that is open.
type Phase = (&'static str, f64, Option<Instant>);

/// Adds up the time within spans of each name; they come one after the other.
#[derive(Default)]
struct Phases(Mutex<Vec<Phase>>);

impl Phases {
    fn lock(&self) -> MutexGuard<'_, Vec<Phase>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Phases {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.target().starts_with("takd_ops")
    }

    fn new_span(&self, span: &Attributes) -> Id {
        let (mut phases, name) = (self.lock(), span.metadata().name());
        let index = phases.iter().position(|(of, ..)| *of == name).unwrap_or_else(|| {
            phases.push((name, 0.0, None));
            phases.len() - 1
        });
        Id::from_u64(index as u64 + 1)
    }

    fn enter(&self, span: &Id) {
        self.lock()[span.into_u64() as usize - 1].2 = Some(Instant::now());
    }

    fn exit(&self, span: &Id) {
        let phase = &mut self.lock()[span.into_u64() as usize - 1];
        phase.1 += phase.2.take().map_or(0.0, |start| start.elapsed().as_secs_f64());
    }

    fn record(&self, _: &Id, _: &Record) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event) {}
}

pub fn print(options: &Options) -> Result<()> {
    for network in &options.networks {
        for &train in options.mode.passes() {
            let task = Task::new(network, train, &Device::Cpu)?;
            let steps = ((1e3 * SECONDS / task.times(1)?[0]) as usize).clamp(2, 30);
            let phases = Arc::new(Phases::default());
            let ms = tracing::subscriber::with_default(phases.clone(), || task.times(steps))?;
            // The spans include the step that does not count.
            let scale = steps as f64 / (steps + 1) as f64;
            let total: f64 = ms.iter().sum();
            print!("{network:17} {:5} {:8.2} ms", Mode::name(train), total / steps as f64);
            let mut rest = 100.0;
            for (name, seconds, _) in phases.lock().iter() {
                let share = 1e5 * seconds * scale / total;
                rest -= share;
                print!("   {share:.0}% {name}");
            }
            println!("   {rest:.0}% head, loss, optimiser");
        }
    }
    Ok(())
}
