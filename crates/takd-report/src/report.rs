//! What a report holds: every run of an experiment, and what the runs of each path come to.
//!
//! As JSON it has these names. Shares and accuracies are from 0 to 1, the paper's too.

use crate::choice::Choice;
use crate::comparison::Comparison;
use crate::path_landscape::PathLandscape;
use crate::run::{Measurements, RunReport};
use crate::statistics::Summary;
use crate::study::StudyReport;
use serde::{Serialize, Serializer};
use std::collections::HashSet;
use std::fmt;
use takd_datasets::DatasetName;
use takd_distill::{DeviceType, Protocol};
use takd_grid::Preset;
use takd_grid::recipe::Layout;
use takd_models::ModelSpec;

/// The results of an experiment, as far as it is trained. [`Report::new`](crate::Report::new) collects it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The experiment's title.
    pub title: String,
    /// Where the experiment is published.
    pub source: Option<String>,
    /// How its tables are laid out.
    #[serde(serialize_with = "layout_as_text")]
    pub layout: Layout,
    /// The experiment's full or quick form.
    #[serde(serialize_with = "as_text")]
    pub preset: Preset,
    /// What its networks are trained on.
    pub device: DeviceType,
    /// Its cells.
    pub cells: Vec<CellReport>,
    /// Cells that cannot be run, with the paper's numbers.
    pub missing: Vec<MissingCellReport>,
    /// What the numbers say, a line each.
    pub findings: Vec<String>,
    /// What a reader has to know about the numbers, a line each.
    pub legend: Vec<String>,
    #[serde(skip)]
    pub(crate) file_stem: String,
}

/// The paths of a cell and their results.
#[derive(Clone, Debug, Serialize)]
pub struct CellReport {
    /// Its name.
    pub name: String,
    /// What its networks are trained on.
    pub dataset: DatasetName,
    /// The data set of the recipe, if the quick form or a command has put another in its place.
    pub stands_for: Option<String>,
    /// Number of classes.
    pub classes: usize,
    /// Rows and columns of an image.
    pub side: usize,
    /// Training images, held-out ones included.
    pub train_images: usize,
    /// Whose rules it follows.
    pub protocol: Protocol,
    /// One run of each path for each.
    pub seeds: Vec<u64>,
    /// Where the paper has its numbers.
    pub paper_source: Option<String>,
    /// What others reached with the same student, by methods that are not run here.
    pub published: Vec<PublishedReport>,
    /// Its paths and those that lead to them, teachers before those they teach.
    pub paths: Vec<PathReport>,
    /// How much better some paths are than others: those that the layout asks about.
    pub comparisons: Vec<PathComparison>,
    /// How an assistant is chosen, if the layout asks for it.
    pub choices: Vec<Choice>,
    /// The searches for the settings of its steps, if there are any.
    pub studies: Vec<StudyReport>,
    /// The loss around networks, if it was asked for and looked at.
    pub landscapes: Vec<PathLandscape>,
}

/// What was published of a method that is not run here.
#[derive(Clone, Debug, Serialize)]
pub struct PublishedReport {
    /// The method's name.
    pub method: String,
    /// The student's test accuracy.
    pub test_accuracy: f64,
}

/// A path and its results, one for each seed.
#[derive(Clone, Debug, Serialize)]
pub struct PathReport {
    /// `plane10 → plane4 → plane2`.
    pub path: String,
    /// The names of the networks of each stage; the last stage has one, whose results these are.
    pub stages: Vec<Vec<String>>,
    /// The network that is trained, with the width that its name may leave to the data.
    #[serde(serialize_with = "as_text")]
    pub network: ModelSpec,
    /// The networks that teach it, likewise.
    #[serde(serialize_with = "as_texts")]
    pub teachers: Vec<ModelSpec>,
    /// Whether the recipe has this path; if not, it leads to one that the recipe has.
    pub requested: bool,
    /// Epochs of its training.
    pub epochs: usize,
    /// The multiplications of one of its runs (with as many additions: twice as many FLOP).
    pub multiply_adds: f64,
    /// The multiplications of one of its runs and of all that lead to it.
    pub path_multiply_adds: f64,
    /// λ of its last step, if it has one.
    pub lambda: Option<f64>,
    /// τ of its last step, if it has one.
    pub temperature: Option<f64>,
    /// The test accuracy that the paper gives.
    pub paper_accuracy: Option<f64>,
    /// Test accuracy over the seeds that have a result, as [`summary`](Self::summary) has it.
    pub test_accuracy: Option<Summary>,
    /// A run for each seed.
    pub runs: Vec<RunReport>,
}

/// The paper's numbers for a cell that cannot be run.
#[derive(Clone, Debug, Serialize)]
pub struct MissingCellReport {
    /// Its name.
    pub name: String,
    /// Why it cannot be run.
    pub why: String,
    /// Its paths.
    pub paths: Vec<MissingPathReport>,
}

/// The paper's number for a path that cannot be run.
#[derive(Clone, Debug, Serialize)]
pub struct MissingPathReport {
    /// The path as the recipe has it.
    pub path: String,
    /// The names of the networks of each stage.
    pub stages: Vec<Vec<String>>,
    /// The test accuracy that the paper gives.
    pub paper_accuracy: Option<f64>,
}

/// How a student is trained, by the number of its path's stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Method {
    /// Alone.
    #[serde(rename = "NoKD")]
    NoKd,
    /// Taught by the teacher.
    #[serde(rename = "BLKD")]
    Blkd,
    /// Taught by an assistant, which the teacher taught.
    #[serde(rename = "TAKD")]
    Takd,
}

/// How much better a path is than another of the same cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PathComparison {
    /// The path.
    pub path: String,
    /// The path that it is compared with.
    pub minus: String,
    /// Whether this asks which of several paths is the best: the verdict is then corrected for all pairs of them.
    pub best_of_several: bool,
    /// What the comparison gives.
    #[serde(flatten)]
    pub comparison: Comparison,
}

impl Report {
    /// A name for files of this report, without an extension: `table-1-quick-sound-1f0c93ab`. It is the same whenever the same
    /// experiment is reported, whether its runs are finished or not, and another's is another.
    pub fn file_stem(&self) -> &str {
        &self.file_stem
    }
}

impl CellReport {
    /// The path of a method: the first one that the recipe has.
    pub(crate) fn method(&self, method: Method) -> Option<&PathReport> {
        self.paths.iter().find(|path| path.requested && Method::of(&path.stages) == method)
    }

    /// How much better a path is than another.
    pub(crate) fn compared(&self, path: &PathReport, minus: &PathReport) -> Option<&PathComparison> {
        let known = |known: &&PathComparison| known.path == path.path && known.minus == minus.path;
        self.comparisons.iter().filter(known).find(|known| !known.best_of_several)
    }

    /// How much better the best of several paths is than one of the others.
    pub(crate) fn best_less(&self, minus: &PathReport) -> Option<&PathComparison> {
        self.comparisons.iter().find(|known| known.best_of_several && known.minus == minus.path)
    }

    /// The path of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&PathReport> {
        self.paths.iter().find(|path| path.path == name)
    }

    /// The path of these stages.
    pub(crate) fn path(&self, stages: &[Vec<String>]) -> Option<&PathReport> {
        self.paths.iter().find(|path| path.stages == stages)
    }
}

impl PathReport {
    /// The results that there are, with their seeds.
    pub fn results(&self) -> impl Iterator<Item = (u64, &Measurements)> {
        self.runs.iter().filter_map(|run| Some((run.seed, run.state.measurements()?)))
    }

    /// Something that is measured, over the seeds that have it. A run that is that of several seeds, as a network that was trained
    /// elsewhere, counts once: it says nothing of how seeds differ.
    ///
    /// ```
    /// # fn show(path: &takd_report::PathReport) {
    /// let entropy = path.summary(|result| result.soft_target_entropy);
    /// # }
    /// ```
    pub fn summary(&self, measured: impl Fn(&Measurements) -> Option<f64>) -> Option<Summary> {
        let values: Vec<f64> = self.distinct_runs().filter_map(|run| measured(run.state.measurements()?)).collect();
        Summary::of(&values)
    }

    /// Its runs, one that is that of several seeds once.
    pub(crate) fn distinct_runs(&self) -> impl Iterator<Item = &RunReport> {
        let mut seen = HashSet::new();
        self.runs.iter().filter(move |run| seen.insert(&run.run))
    }

    /// The networks of the last stage: those that are trained last, which is one.
    pub(crate) fn student(&self) -> &[String] {
        self.stages.last().map_or(&[], Vec::as_slice)
    }

    /// The multiplications of one look at an image.
    pub(crate) fn forward_multiply_adds(&self, cell: &CellReport) -> u64 {
        self.network.multiply_adds(cell.classes, cell.side)
    }
}

impl Method {
    pub(crate) const ALL: [Self; 3] = [Self::NoKd, Self::Blkd, Self::Takd];

    /// That of a path of these stages.
    pub(crate) fn of(stages: &[Vec<String>]) -> Self {
        match stages.len() {
            0 | 1 => Self::NoKd,
            2 => Self::Blkd,
            _ => Self::Takd,
        }
    }

    /// The name as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoKd => "NoKD",
            Self::Blkd => "BLKD",
            Self::Takd => "TAKD",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn as_texts<S: Serializer>(values: &[impl fmt::Display], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(ToString::to_string))
}

// serde gives a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn layout_as_text<S: Serializer>(layout: &Layout, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(layout.as_str())
}
