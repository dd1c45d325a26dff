//! The path language.

use proptest::prelude::*;
use takd_grid::path::{DistillationPath, MAX_NETWORKS, MAX_PATHS, MAX_STAGES, PathPattern, PathProblem, Stage};
use takd_models::ModelName;

fn expanded(pattern: &str) -> Vec<String> {
    let pattern: PathPattern = pattern.parse().unwrap_or_else(|error| panic!("{error}"));
    pattern.paths().iter().map(ToString::to_string).collect()
}

fn message(pattern: &str) -> String {
    pattern.parse::<PathPattern>().unwrap_err().to_string()
}

#[test]
fn path_is_read_with_either_arrow_and_any_white_space() {
    let path: DistillationPath = "plane10 -> plane8 + resnet20 -> plane2".parse().unwrap();
    assert_eq!(path.to_string(), "plane10 → plane8 + resnet20 → plane2");
    for text in ["plane10->plane8+resnet20->plane2", " plane10→plane8 +resnet20\n→\tplane2 "] {
        assert_eq!(text.parse(), Ok(path.clone()), "{text}");
    }
    assert_eq!(path.steps(), 2);
    assert_eq!(path.stages()[1].to_string(), "plane8 + resnet20");
    assert_eq!(path.students().to_string(), "plane2");
    assert_eq!(path.teachers(), &*path.stages()[1]);
}

#[test]
fn single_network_is_a_path_without_steps_or_teachers() {
    let path: DistillationPath = "plane2-wide".parse().unwrap();
    assert_eq!((path.steps(), path.teachers().len()), (0, 0));
    assert_eq!(DistillationPath::from("plane2-wide".parse::<ModelName>().unwrap()), path);
}

#[test]
fn path_to_a_network_on_the_way_ends_with_it_alone() {
    let path: DistillationPath = "plane10 -> plane8 + plane6 -> plane2".parse().unwrap();
    let plane6: ModelName = "plane6".parse().unwrap();
    assert_eq!(path.up_to(1, plane6).to_string(), "plane10 → plane6");
    assert_eq!(path.up_to(2, path.students()[0]), path);
}

#[test]
fn networks_of_a_path_are_replaced_all_at_once() {
    let path: DistillationPath = "resnet110 -> resnet20 -> resnet8".parse().unwrap();
    let [resnet110, resnet20, resnet14] = ["resnet110", "resnet20", "resnet14"].map(|name| name.parse().unwrap());
    let other = |network: ModelName| match network {
        _ if network == resnet110 => resnet20,
        _ if network == resnet20 => resnet14,
        _ => network,
    };
    assert_eq!(path.replace(other).unwrap().to_string(), "resnet20 → resnet14 → resnet8");
    let together: DistillationPath = "plane10 + plane8 -> plane2".parse().unwrap();
    assert_eq!(together.replace(|_| resnet20), Err(PathProblem::Twice("resnet20".into())));
}

#[test]
fn with_or_without_gives_the_eight_paths_of_figure_5_in_the_order_written() {
    assert_eq!(
        expanded("plane10 -> plane8? -> plane6? -> plane4? -> plane2"),
        [
            "plane10 → plane8 → plane6 → plane4 → plane2",
            "plane10 → plane8 → plane6 → plane2",
            "plane10 → plane8 → plane4 → plane2",
            "plane10 → plane8 → plane2",
            "plane10 → plane6 → plane4 → plane2",
            "plane10 → plane6 → plane2",
            "plane10 → plane4 → plane2",
            "plane10 → plane2",
        ]
    );
}

#[test]
fn braces_are_one_of_their_choices_and_can_be_joined_and_optional() {
    assert_eq!(expanded("{plane2, plane4}"), ["plane2", "plane4"]);
    assert_eq!(
        expanded("{plane10, plane8} -> {plane4, plane2}"),
        ["plane10 → plane4", "plane10 → plane2", "plane8 → plane4", "plane8 → plane2"]
    );
    assert_eq!(
        expanded("{plane8, plane6} + resnet20 -> plane2"),
        ["plane8 + resnet20 → plane2", "plane6 + resnet20 → plane2"]
    );
    assert_eq!(expanded("{plane8, plane6 + plane4} -> plane2"), ["plane8 → plane2", "plane6 + plane4 → plane2"]);
    assert_eq!(
        expanded("plane10 -> {plane8, plane6}? -> plane2"),
        ["plane10 → plane8 → plane2", "plane10 → plane6 → plane2", "plane10 → plane2"]
    );
    assert_eq!(expanded("plane10 + plane8? -> plane2"), ["plane10 + plane8 → plane2", "plane10 → plane2"]);
}

#[test]
fn path_that_a_pattern_gives_twice_is_listed_once_at_its_first_place() {
    assert_eq!(expanded("{plane4, plane2, plane4}"), ["plane4", "plane2"]);
    assert_eq!(
        expanded("plane10 -> plane4? -> plane4? -> plane2"),
        ["plane10 → plane4 → plane4 → plane2", "plane10 → plane4 → plane2", "plane10 → plane2"]
    );
}

#[test]
fn pattern_prints_in_one_form_that_is_read_as_the_same_pattern() {
    let pattern: PathPattern = "{plane10 ,plane8+resnet20}?+plane6->{plane4}->{plane2+resnet8}".parse().unwrap();
    assert_eq!(pattern.to_string(), "{plane10, plane8 + resnet20}? + plane6 → plane4 → {plane2 + resnet8}");
    assert_eq!(pattern.to_string().parse(), Ok(pattern));
}

#[test]
fn text_that_is_no_pattern_is_refused_with_its_column() {
    for (text, expected) in [
        ("", "a path needs at least one network"),
        ("  ", "a path needs at least one network"),
        ("plane10->", "empty step in `plane10->`, column 10"),
        ("->plane2", "empty step in `->plane2`, column 1"),
        ("plane10 -> -> plane2", "empty step in `plane10 -> -> plane2`, column 12"),
        ("plane10 → → plane2", "empty step in `plane10 → → plane2`, column 11"),
        ("plane10 plane2", "`->` or `+` is missing before `plane2` in `plane10 plane2`, column 9"),
        ("plane10 -> plane2+", "no network beside `+` in `plane10 -> plane2+`, column 19"),
        ("plane10 + -> plane2", "no network beside `+` in `plane10 + -> plane2`, column 11"),
        ("+ plane2", "no network beside `+` in `+ plane2`, column 1"),
        ("{plane4, plane2", "`{` without `}` in `{plane4, plane2`, column 1"),
        ("plane10 -> {", "`{` without `}` in `plane10 -> {`, column 12"),
        ("plane4, plane2", "`,` outside of braces in `plane4, plane2`, column 7"),
        ("plane4} -> plane2", "`}` without `{` in `plane4} -> plane2`, column 7"),
        ("{plane4, } -> plane2", "empty choice in `{plane4, } -> plane2`, column 10"),
        ("{} -> plane2", "empty choice in `{} -> plane2`, column 2"),
        ("{plane4 plane2}", "`,` or `+` is missing before `plane2` in `{plane4 plane2}`, column 9"),
        ("{plane4, {plane2}}", "braces inside braces in `{plane4, {plane2}}`, column 10"),
        ("{plane4 -> plane2}", "`->` inside braces in `{plane4 -> plane2}`, column 9"),
        ("{plane4?, plane2}", "`?` inside braces in `{plane4?, plane2}`, column 8"),
        ("plane10 -> ? -> plane2", "no network before `?` in `plane10 -> ? -> plane2`, column 12"),
        ("plane10 -> plane4?? -> plane2", "second `?` in `plane10 -> plane4?? -> plane2`, column 19"),
        ("plane10? -> plane2", "the first and the last stage cannot be optional in `plane10? -> plane2`, column 1"),
        ("plane10 -> plane2?", "the first and the last stage cannot be optional in `plane10 -> plane2?`, column 12"),
        ("plane10 -> (plane2)", "unexpected `(` in `plane10 -> (plane2)`, column 12"),
        ("plane10 > plane2", "unexpected `>` in `plane10 > plane2`, column 9"),
        ("plane10 => plane2", "unexpected `=` in `plane10 => plane2`, column 9"),
        ("plane10-", "`-` where `->` was expected in `plane10-`, column 8"),
        ("plane10 - plane2", "`-` where `->` was expected in `plane10 - plane2`, column 9"),
        ("plane10 -> plane4 + plane4", "`plane4` stands twice in one stage in `plane10 -> plane4 + plane4`, column 12"),
        ("{plane4, plane2} + plane2", "`plane2` stands twice in one stage in `{plane4, plane2} + plane2`, column 1"),
        (
            "plane10 -> plane3",
            "unknown network `plane3`; did you mean `plane2` or `plane4`? (column 12 of `plane10 -> plane3`)",
        ),
        ("plane3", "unknown network `plane3`; did you mean `plane2` or `plane4`?"),
    ] {
        assert_eq!(message(text), expected, "{text}");
    }
}

#[test]
fn pattern_is_refused_if_one_path_is_expected() {
    for (text, column) in [("plane10 -> plane4? -> plane2", 12), ("{plane4, plane2}", 1)] {
        let error = text.parse::<DistillationPath>().unwrap_err();
        assert_eq!((&error.problem, error.column()), (&PathProblem::Several, column), "{text}");
    }
    assert_eq!("{plane4}".parse::<DistillationPath>().unwrap().to_string(), "plane4");
}

#[test]
fn pattern_of_too_many_paths_is_refused_with_their_number() {
    let optional = |count: usize| format!("plane10{} -> plane2", " -> plane4?".repeat(count));
    assert_eq!(2usize.pow(12), MAX_PATHS);
    assert!(optional(12).parse::<PathPattern>().is_ok());
    let problem = |text: &str| text.parse::<PathPattern>().unwrap_err().problem;
    assert_eq!(problem(&optional(13)), PathProblem::TooManyPaths { paths: 8192, limit: MAX_PATHS });
    assert!(
        message(&optional(13)).starts_with("8192 paths, more than 4096, in `plane10"),
        "{}",
        message(&optional(13))
    );
    let stages = format!("plane2{}", " -> plane2".repeat(MAX_STAGES));
    assert_eq!(problem(&stages), PathProblem::TooManyStages { stages: MAX_STAGES + 1, limit: MAX_STAGES });
    let networks = format!("plane2{}", " + plane2".repeat(MAX_NETWORKS));
    assert_eq!(problem(&networks), PathProblem::TooManyNetworks { networks: MAX_NETWORKS + 1, limit: MAX_NETWORKS });
    // More than a u64 counts.
    let members = vec!["{plane2, plane4, plane6, plane8, plane10}?"; MAX_NETWORKS].join(" + ");
    let many = vec![members; MAX_STAGES].join(" -> ");
    let last = format!("plane2 -> {} -> plane2", many.split_once("->").unwrap().1.rsplit_once("->").unwrap().0);
    assert_eq!(problem(&last), PathProblem::TooManyPaths { paths: u64::MAX, limit: MAX_PATHS });
    assert!(message(&last).starts_with("more than 10^19 paths, more than 4096, in"));
}

/// A few networks of each kind of name.
fn networks() -> Vec<&'static str> {
    vec!["plane2", "plane4-wide", "plane10-narrow", "resnet8", "resnet110"]
}

/// Networks of one stage, joined.
fn together() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(networks(), 1..=2).prop_shuffle()
}

fn distillation_path() -> impl Strategy<Value = DistillationPath> {
    let stage =
        together().prop_map(|names| Stage::new(names.into_iter().map(|name| name.parse().unwrap()).collect()).unwrap());
    prop::collection::vec(stage, 1..8).prop_map(|stages| DistillationPath::new(stages).unwrap())
}

/// The text of a pattern, some of which are refused: a network twice in a stage, an optional end.
fn pattern_text() -> impl Strategy<Value = String> {
    let choices = prop::collection::vec(together().prop_map(|names| names.join("+")), 1..4);
    let braces = choices.prop_map(|choices| format!("{{{}}}", choices.join(" ,")));
    let member =
        (prop_oneof![prop::sample::select(networks()).prop_map(str::to_owned), braces], prop::bool::weighted(0.3));
    let member = member.prop_map(|(member, optional)| if optional { member + "?" } else { member });
    let stage = prop::collection::vec(member, 1..3).prop_map(|members| members.join(" + "));
    (prop::collection::vec(stage, 1..5), prop::sample::select(vec!["->", " -> ", "→", " →\t"]))
        .prop_map(|(stages, arrow)| stages.join(arrow))
}

/// The paths of a pattern by rewriting its text: the leftmost braces or `?` become each of what they stand for.
fn rewritten(text: &str) -> Vec<String> {
    const NOTHING: &str = "nothing";

    let Some(first) = text.find(['{', '?']) else {
        let stages = text.split('→').map(|stage| {
            let networks: Vec<&str> = stage.split('+').map(str::trim).filter(|&name| name != NOTHING).collect();
            networks.join(" + ")
        });
        return vec![stages.filter(|stage| !stage.is_empty()).collect::<Vec<_>>().join(" → ")];
    };
    let (begin, choices, end) = if text[first..].starts_with('{') {
        let close = first + text[first..].find('}').unwrap();
        (first, text[first + 1..close].split(',').collect(), close + 1)
    } else {
        let begin = text[..first]
            .rfind(['→', '+', ' '])
            .map_or(0, |sign| sign + text[sign..].chars().next().unwrap().len_utf8());
        (begin, vec![&text[begin..first]], first)
    };
    let (end, nothing) = if text[end..].starts_with('?') { (end + 1, Some(NOTHING)) } else { (end, None) };
    let mut paths = Vec::new();
    for choice in choices.into_iter().chain(nothing) {
        for path in rewritten(&format!("{}{choice}{}", &text[..begin], &text[end..])) {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    paths
}

proptest! {
    #[test]
    fn path_that_is_printed_is_read_as_the_same_path(path in distillation_path()) {
        prop_assert_eq!(path.to_string().parse(), Ok(path.clone()));
        let pattern: PathPattern = path.to_string().parse().unwrap();
        prop_assert_eq!(pattern.paths(), &[path]);
    }

    #[test]
    fn pattern_gives_the_paths_that_rewriting_its_text_gives(text in pattern_text()) {
        match text.parse::<PathPattern>() {
            Ok(pattern) => {
                let expected = rewritten(&text.replace("->", "→"));
                prop_assert_eq!(pattern.paths().iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
                prop_assert_eq!(pattern.to_string().parse(), Ok(pattern));
            }
            Err(error) => prop_assert!(
                matches!(error.problem, PathProblem::Twice(_) | PathProblem::OptionalEnd), "{}", error
            ),
        }
    }

    #[test]
    fn any_text_is_read_or_refused_with_a_column_inside_it(
        text in prop_oneof![
            any::<String>(),
            r"(plane2|resnet8|plane|-|>|->|→|\+|,|\{|\}|\?| |é|\t){0,12}",
        ]
    ) {
        let path = text.parse::<DistillationPath>();
        match text.parse::<PathPattern>() {
            Ok(pattern) => {
                prop_assert_eq!(path.is_ok(), !text.contains(['?', ',']));
                prop_assert_eq!(pattern.to_string().parse(), Ok(pattern));
            }
            Err(error) => {
                prop_assert!(path.is_err());
                prop_assert!(error.column() <= text.chars().count() + 1, "{}", error);
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
