//! What two ways to choose an assistant come to.

use serde::Serialize;

/// Which assistant each way chooses, and what it takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// The student.
    pub student: String,
    /// The teacher.
    pub teacher: String,
    /// The mean of the accuracies of student and teacher, each alone; nothing before both have a result.
    pub line: Option<f64>,
    /// The assistants that are tried.
    pub candidates: Vec<Candidate>,
    /// What the heuristic chooses: the path by the assistant that stands nearest to the line.
    pub by_heuristic: Option<String>,
    /// The best path.
    pub by_trying: Option<String>,
    /// What it takes to train every size alone, and then the path that the heuristic chooses; nothing before it chooses.
    pub heuristic_takes: Option<Spent>,
    /// What it takes to try every assistant.
    pub trying_takes: Spent,
}

/// An assistant that may be chosen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// The path by way of it.
    pub path: String,
    /// Its name.
    pub assistant: String,
    /// How far its accuracy, trained alone, lies above the line.
    pub above_line: Option<f64>,
}

/// What some runs take together, over all seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spent {
    /// How many there are.
    pub runs: usize,
    /// Their multiplications (with as many additions: twice as many FLOP).
    pub multiply_adds: f64,
    /// What they took, if all are finished.
    pub seconds: Option<f64>,
}
