//! Figures are whole, readable and harmless, whatever they are of.

use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_oneof, proptest};
use takd_figures::{
    Bar, Costed, Curve, CurveFigure, CurvePoint, Guide, HeatMap, LineFigure, NodePlace, Palette, PathColumn, PathGraph,
    PathKind, PathNode, Point, ScatterFigure, Series,
};

/// The attributes in which coordinates and lengths stand.
const NUMBERS: [&str; 11] = ["x", "y", "x1", "x2", "y1", "y2", "width", "height", "rx", "points", "d"];

/// Fails unless the text is one SVG that says what it is, and all that it draws has a place within it.
fn check(svg: &str) {
    let document = roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
    let root = document.root_element();
    assert_eq!((root.tag_name().name(), root.attribute("role")), ("svg", Some("img")));
    assert!(root.children().any(|node| node.tag_name().name() == "title"));
    let size: Vec<f64> = root.attribute("viewBox").unwrap().split(' ').map(|number| number.parse().unwrap()).collect();
    for node in document.descendants() {
        for attribute in node.attributes().filter(|attribute| NUMBERS.contains(&attribute.name())) {
            assert!(!attribute.value().contains("NaN") && !attribute.value().contains("inf"), "{svg}");
        }
        for (name, most) in
            [("x", size[2]), ("x1", size[2]), ("x2", size[2]), ("y", size[3]), ("y1", size[3]), ("y2", size[3])]
        {
            if let Some(number) = node.attribute(name).map(|number| number.parse::<f64>().unwrap()) {
                assert!((-1.0..=most + 1.0).contains(&number), "{name} = {number} is outside {size:?}: {svg}");
            }
        }
    }
}

/// A series for a test.
fn series(name: &str, points: Vec<Option<Point>>) -> Series {
    Series { name: name.to_owned(), points, joined: true, ..Series::default() }
}

fn small() -> LineFigure {
    let point = |value: f64| Some(Point { value, bar: Some(Bar { low: value - 0.5, high: value + 0.5 }) });
    LineFigure {
        title: "Student by teacher".to_owned(),
        description: "plane4 71 %; plane6 72 %".to_owned(),
        x_label: "teacher".to_owned(),
        y_label: "test accuracy, %".to_owned(),
        names: vec!["plane4".to_owned(), "plane6".to_owned()],
        series: vec![
            series("ours", vec![point(71.0), point(72.25)]),
            Series { published: true, ..series("the paper's", vec![None, Some(Point { value: 72.57, bar: None })]) },
        ],
        guides: vec![Guide { label: "alone".to_owned(), value: 70.5 }],
    }
}

#[test]
fn small_figure_is_as_it_was() {
    let svg = small().to_svg(&Palette::LIGHT);
    check(&svg);
    insta::assert_snapshot!(svg);
}

#[test]
fn empty_figures_are_figures() {
    for palette in [Palette::PAGE, Palette::LIGHT, Palette::DARK] {
        check(&LineFigure::default().to_svg(&palette));
        check(&PathGraph::default().to_svg(&palette));
        check(&CurveFigure::default().to_svg(&palette));
        check(&ScatterFigure::default().to_svg(&palette));
        check(&HeatMap::default().to_svg(&palette));
    }
}

#[test]
fn texts_from_anywhere_stay_texts() {
    let hostile = "<script>alert(1)</script>&\"'\u{0}\u{1b}]]>";
    let mut figure = small();
    (figure.title, figure.x_label) = (hostile.to_owned(), hostile.to_owned());
    figure.names[0] = hostile.to_owned();
    figure.series[0].name = hostile.to_owned();
    let svg = figure.to_svg(&Palette::PAGE);
    assert!(!svg.contains("<script"), "{svg}");
    check(&svg);
}

#[test]
fn names_too_long_for_a_line_stand_in_several() {
    let mut figure = small();
    figure.names = (0..12).map(|size| format!("plane10 → plane{size}")).collect();
    let svg = figure.to_svg(&Palette::LIGHT);
    check(&svg);
    let document = roxmltree::Document::parse(&svg).unwrap();
    let names = document.descendants().filter(|node| node.text().is_some_and(|text| text.starts_with("plane10 → ")));
    let lines: std::collections::BTreeSet<&str> = names.filter_map(|node| node.attribute("y")).collect();
    assert!(lines.len() > 1, "{lines:?}");
}

#[test]
fn paths_have_an_oval_each_and_an_arrow_from_their_teacher() {
    let node = |path: &str, kind, taught_by| PathNode {
        path: path.to_owned(),
        value: "71.00".to_owned(),
        kind,
        best: false,
        taught_by,
        link: Some("#there".to_owned()),
    };
    let from = |column, node| Some(NodePlace { column, node });
    let columns = vec![
        PathColumn { name: "10".to_owned(), nodes: vec![node("10", PathKind::Alone, None)] },
        PathColumn {
            name: "4".to_owned(),
            nodes: vec![node("10 → 4", PathKind::Direct, from(0, 0)), node("4", PathKind::Alone, None)],
        },
        PathColumn {
            name: "2".to_owned(),
            nodes: vec![
                node("10 → 2", PathKind::Direct, from(0, 0)),
                node("10 → 4 → 2", PathKind::Assisted, from(1, 0)),
                // From where nothing is, and from itself: drawn without an arrow.
                node("2", PathKind::Alone, from(7, 0)),
                node("2", PathKind::Alone, from(2, 0)),
            ],
        },
    ];
    let svg = PathGraph { columns, ..PathGraph::default() }.to_svg(&Palette::LIGHT);
    check(&svg);
    assert_eq!(svg.matches("71.00</text>").count(), 7);
    assert_eq!(svg.matches("<path").count(), 3);
    // Links are a page's; a figure alone knows none.
    assert!(!svg.contains("href"));
    let columns = vec![PathColumn { name: "4".to_owned(), nodes: vec![node("4", PathKind::Alone, None)] }];
    let on_page = PathGraph { columns, ..PathGraph::default() }.to_svg(&Palette::PAGE);
    check(&on_page);
    assert_eq!(on_page.matches("<a href=\"#there\">").count(), 1);
}

#[test]
fn missing_values_of_a_map_are_no_colour() {
    let map = HeatMap {
        columns: vec!["a".to_owned(), "b".to_owned()],
        rows: vec!["c".to_owned(), "d".to_owned()],
        values: vec![Some(1.0), None, Some(f64::NAN), Some(2.0)],
        numbers: true,
        ..HeatMap::default()
    };
    let svg = map.to_svg(&Palette::LIGHT);
    check(&svg);
    assert_eq!((svg.matches("1.00</text>").count(), svg.matches("2.00</text>").count()), (1, 1));
    // The least is dark, the greatest light.
    assert!(svg.contains("#440154") && svg.contains("#fde725"), "{svg}");
}

/// Numbers as they come out of an experiment that went wrong, too.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![-1e3f64..1e3, any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(0.0), Just(-1e300), Just(1e-300),]
}

fn point() -> impl Strategy<Value = Point> {
    let bar = prop::option::of((number(), number()).prop_map(|(low, high)| Bar { low, high }));
    (number(), bar).prop_map(|(value, bar)| Point { value, bar })
}

proptest! {
    #[test]
    fn lines_of_any_numbers_lie_within_the_figure(
        points in prop::collection::vec(prop::collection::vec(prop::option::of(point()), 0..6), 0..4),
        guides in prop::collection::vec(number(), 0..3),
        names in prop::collection::vec(".{0,12}", 0..6),
    ) {
        let guides = guides.into_iter().map(|value| Guide { label: "a line".to_owned(), value }).collect();
        let series = points.into_iter().map(|points| series("some", points)).collect();
        check(&LineFigure { names, series, guides, ..LineFigure::default() }.to_svg(&Palette::PAGE));
    }

    #[test]
    fn curves_of_any_numbers_lie_within_the_figure(
        curves in prop::collection::vec(prop::collection::vec((number(), number()), 0..20), 0..4),
    ) {
        let curve = |points: Vec<(f64, f64)>| Curve {
            name: "some".to_owned(),
            points: points.into_iter().map(|(x, y)| CurvePoint { x, y }).collect(),
        };
        let figure = CurveFigure { curves: curves.into_iter().map(curve).collect(), ..CurveFigure::default() };
        check(&figure.to_svg(&Palette::PAGE));
    }

    #[test]
    fn points_of_any_cost_lie_within_the_figure(
        points in prop::collection::vec((number(), point(), any::<bool>()), 0..20),
    ) {
        let costed = |(cost, gives, on_front)| Costed { name: "some".to_owned(), cost, gives, on_front, link: None };
        let points = points.into_iter().map(costed).collect();
        check(&ScatterFigure { points, ..ScatterFigure::default() }.to_svg(&Palette::PAGE));
    }

    #[test]
    fn maps_of_any_values_lie_within_the_figure(
        columns in 0usize..6,
        rows in 0usize..6,
        values in prop::collection::vec(prop::option::of(number()), 0..40),
        numbers: bool,
    ) {
        let names = |count: usize| (0..count).map(|name| name.to_string()).collect();
        let map = HeatMap { columns: names(columns), rows: names(rows), values, numbers, ..HeatMap::default() };
        let svg = map.to_svg(&Palette::PAGE);
        check(&svg);
        prop_assert!(svg.len() < 1_000_000);
    }
}

#[cfg(feature = "png")]
mod pixels {
    use super::*;
    use takd_figures::{PngError, png};

    #[test]
    fn picture_has_the_size_and_the_texts_of_the_figure() {
        let svg = small().to_svg(&Palette::LIGHT);
        let picture = png(&svg, Palette::LIGHT.ground, 2.0).unwrap();
        assert!(picture.starts_with(b"\x89PNG"));
        let width = u32::from_be_bytes(picture[16..20].try_into().unwrap());
        assert_eq!(width, 1280);
        // Without a font the texts would be missing, and nothing would say so.
        let mut other = small();
        other.names[0] = "resnet".to_owned();
        assert_ne!(picture, png(&other.to_svg(&Palette::LIGHT), Palette::LIGHT.ground, 2.0).unwrap());
    }

    #[test]
    fn what_is_no_figure_and_what_is_too_large_is_refused() {
        assert!(matches!(png("no figure", "#ffffff", 1.0), Err(PngError::Svg(_))));
        let svg = small().to_svg(&Palette::LIGHT);
        for scale in [1e9, 0.0, -1.0, f32::NAN] {
            assert!(matches!(png(&svg, "#ffffff", scale), Err(PngError::Size { .. })), "{scale}");
        }
    }
}
