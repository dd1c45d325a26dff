//! Recipes: an experiment as a file.
//!
//! A recipe says which networks are trained along which paths on which images, and with which settings; beside them
//! stand the paper's numbers. It is TOML:
//!
//! ```text
//! title = "Does an assistant help?"
//!
//! [defaults]                              # settings of every cell
//! seeds = [20, 31, 55]                    # or a range: "1..5"
//! lambda = 0.5
//! temperature = 5.0
//!
//! [[cell]]                                # a table has a cell for each kind of network and data set
//! name = "plain/cifar10"
//! data = "cifar10"
//! paths = ["plane2", "plane10 -> plane4? -> plane2"]
//! paper = { "plane10 -> plane4 -> plane2" = 73.51 }
//! epochs = 20                             # any setting; it wins over the defaults
//!
//! [quick]                                 # a small experiment of the same form; it wins over both
//! data = { cifar10 = "shapes10" }
//! epochs = 6
//! ```
//!
//! # Keys
//!
//! The recipe: `title`; optional: `source`, `layout` (how its results are laid out: `"methods"` is a row for each cell
//! and a column for each method; `"assistants"`, `"teachers"` and `"students"` compare paths by the size of one of their
//! networks; `"graph"` draws them; `"paths"`, the default, is a row for each path), `notes` (a list of texts), `[defaults]`,
//! `[quick]`; and one `[[cell]]` or more.
//!
//! A cell: `name`, `data` (a data set), `paths` (a list of [patterns](crate::path)); optional: `import` (networks at the
//! beginning of paths that were trained elsewhere, each with its file, as in `{ resnet56 = "resnet56.pth" }` or `{ resnet56 = { file =
//! "resnet56.pth", mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225] } }`, where `order` may have the number of the output for
//! each class of the data; files are looked for from the folder that the command runs in. In
//! place of a file `"user/name"` is a model of the hub as it is there now, and `"user/name@commit"` as it is at that commit. The
//! network `logits` is a teacher that is known by a safetensors file of its logits alone, `{ logits = "logits.safetensors" }`, as `takd logits`
//! writes it; those whom it teaches need `augmentation = "none"`), `paper` (test accuracies in percent, each for one of the cell's paths), `published` (what others reached with the same student, by the names of their
//! methods, which are not run), `paper_source` (where the paper has them), `note`, and any setting. A
//! cell with `missing` (why it cannot be run on its data) may name networks and data that do not exist; its table shows the
//! paper's numbers alone, unless a command or `[quick]` gives it other data.
//!
//! Settings, in `[defaults]`, `[[cell]]` and `[quick]`:
//!
//! | key | value |
//! |---|---|
//! | `protocol` | `"code"`, `"paper"` or `"sound"`: where all settings come from that are not given |
//! | `seeds` | a list such as `[20, 31, 55]`, or a text with ranges such as `"1..5"` |
//! | `lambda` | λ, the teachers' share of the loss, 0 to 1; a list has one for each step of a path |
//! | `temperature` | τ, what logits are divided by, above 0; a list likewise |
//! | `kl_reduction` | how the KL term is averaged: `"batch-mean"` or `"mean"` |
//! | `epochs` | how often each training image is seen; a table such as `{ plane2 = 150, others = 20 }` says it for each network |
//! | `limit` | use only so many training images |
//! | `size` | scale the images to so many rows and columns: the square in the middle of each; or `"224of256"`, the middle of the whole image |
//! | `replays` | draw so many augmented forms of each image once, and see them in turn |
//! | `top_k` | keep the teachers' logits of so many classes, the likeliest for each image; the others count as one class. It needs images of which logits are kept: not augmented, or with `replays` |
//!
//! The training of each family of networks, in `[defaults.training.plain]`, `[defaults.training.resnet]` and the same
//! tables of `cell` and `quick`:
//!
//! | key | value |
//! |---|---|
//! | `batch_size` | images a step |
//! | `gradient_accumulation` | compute each batch in so many parts, of which memory holds one at a time; batch normalisation sees each alone |
//! | `lr` | the learning rate in pieces such as `{ from = 0.5, rate = 0.01 }`; `from` is a share of the epochs |
//! | `warmup_epochs` | let the learning rate rise from near 0, step by step, over the first so many epochs; 0 or more |
//! | `momentum`, `nesterov` | 0 to below 1; true or false |
//! | `weight_decay`, `weight_decay_on` | 0 or more; `"all"` or `"weights"` |
//! | `augmentation` | such as `"none"`, `"crop-flip"` or `"resized-crop-flip + jitter 0.4 + mixup 0.2"`: see [`Augmentation`](takd_datasets::Augmentation) |
//! | `normalization` | `"published-code"`, `"own"` or `"imagenet"`: whose mean and deviation |
//! | `pick` | the epoch whose network counts: `"best-test-epoch"` or `"last-epoch"` |
//! | `hold_out` | training images set aside: `"nothing"` or `"tenth"` |
//!
//! `[search]` has λ, τ and other settings found by trials, for each step of a path by itself ([`study`](crate::study)); what it leaves
//! out is as [`Search::usual`](crate::study::Search::usual) has it:
//!
//! | key | value |
//! |---|---|
//! | `space` | the settings that are searched, each with a list of values or a range: `{ from = 0.05, to = 1.0, step = 0.05 }`, `{ from = 0.001, to = 0.1, scale = "log" }` |
//! | `trials`, `window` | how many trials, and how many at once; results do not depend on how many workers there are, but on `window` |
//! | `sampler` | `"tpe"`, `"random"` or `"grid"` |
//! | `pruning` | `"halving"`, `"median"` or `"none"` |
//! | `objective` | `"accuracy"` or `"loss"`, on held-out images; under the protocols `code` and `paper`, on the test images, as published |
//! | `epochs` | those of a trial; the network's own if it is left out |
//! | `seeds` | those of the trials' runs: none of the experiment's |
//! | `seed` | the study's own |
//!
//! A file of settings ([`Settings::parse`]) has the settings alone: those keys at its top, and `[training.plain]`, `[training.resnet]`
//! and `[training.imagenet-resnet]`.
//!
//! `[quick]` also has `data` (data sets in place of others), `networks` (networks in place of others, all at once) and
//! `drawn` (how many images built-in data sets have, as in `{ train = 2500, test = 1000 }`).
//!
//! ```
//! use takd_grid::recipe::Recipe;
//!
//! let text = r#"
//! title = "Does an assistant help?"
//!
//! [[cell]]
//! name = "plain/cifar10"
//! data = "cifar10"
//! paths = ["plane2", "plane10 -> plane4? -> plane2"]
//! "#;
//! let recipe = Recipe::parse(text, "mine.toml")?;
//! assert_eq!(recipe.cells[0].name, "plain/cifar10");
//!
//! let error = Recipe::parse(&text.replace("plane4", "plane3"), "mine.toml").unwrap_err();
//! assert!(error.to_string().starts_with("mine.toml:7:32: unknown network `plane3`"));
//! # Ok::<(), takd_grid::recipe::RecipeError>(())
//! ```
//!
//! Invariant: reads text and nothing else; no files, no data, no training.

mod check;
mod document;
mod error;
mod keys;
mod read;
mod search;
mod seeds;
mod settings;
mod settings_file;
mod shipped;
mod table;

pub use document::{CellPath, CellPaths, DrawnImages, ImportedFile, Layout, Published, Quick, Recipe, RecipeCell};
pub use error::{Located, RecipeError, RecipeProblem, Span};
pub use keys::{Advice, TableKind};
pub use read::MAX_BYTES;
pub use search::SearchSettings;
pub use seeds::{MAX_SEED, MAX_SEEDS, SeedsError, parse_seeds};
pub(crate) use settings::FAMILIES;
pub use settings::{Epochs, PerStep, Settings, TrainingByFamily, TrainingChanges};
pub use shipped::{Shipped, shipped};
pub use takd_distill::RateFrom;
