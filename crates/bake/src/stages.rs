//! What a bake did, how long each step took, and whether the cache had it.

use std::time::Instant;

use futuswarm_image_format::Stage;

/// Collects the stages and tells somebody as they end.
pub struct Stages<'a> {
    done: Vec<Stage>,
    report: &'a mut dyn FnMut(Event<'_>),
}

/// What happens during a bake.
#[derive(Debug)]
pub enum Event<'a> {
    /// A stage begins: its name.
    Begin(&'a str),
    /// What a long stage is at: its name and a few words, several times a second.
    Progress(&'a str, &'a str),
    /// A stage has ended, with success.
    End(&'a Stage),
}

impl<'a> Stages<'a> {
    /// `report` is called at the beginning and the end of every stage; the library itself never prints.
    pub fn new(report: &'a mut dyn FnMut(Event<'_>)) -> Self {
        Self { done: Vec::new(), report }
    }

    /// Runs one stage; its result says whether the cache had it.
    ///
    /// # Errors
    /// Those of the stage.
    pub fn run<T, E>(&mut self, name: &str, stage: impl FnOnce() -> Result<(T, bool), E>) -> Result<T, E> {
        self.run_long(name, |_| stage())
    }

    /// Like [`Self::run`], for a stage that may take long and tells what it is at.
    ///
    /// # Errors
    /// Those of the stage.
    pub fn run_long<T, E>(
        &mut self,
        name: &str,
        stage: impl FnOnce(&mut dyn FnMut(&str)) -> Result<(T, bool), E>,
    ) -> Result<T, E> {
        (self.report)(Event::Begin(name));
        let start = Instant::now();
        let (value, cached) = stage(&mut |words| (self.report)(Event::Progress(name, words)))?;
        let seconds = (start.elapsed().as_secs_f64() * 100.0).round() / 100.0;
        let stage = Stage { name: name.to_owned(), seconds, cached };
        (self.report)(Event::End(&stage));
        self.done.push(stage);
        Ok(value)
    }

    /// All stages so far, in the order in which they ran.
    #[must_use]
    pub fn into_done(self) -> Vec<Stage> {
        self.done
    }
}
