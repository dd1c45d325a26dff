//! A report as a page: whole, self-contained and harmless.

use crate::common::World;
use std::collections::BTreeSet;
use takd_grid::Changes;

const RECIPE: &str = r#"
title = "Made <i>up</i> & hostile <script>alert(1)</script>"
source = "A \"paper\", Table <7>"
layout = "LAYOUT"

[[cell]]
name = "plain/cifar10 <img onerror=alert(1)>"
data = "cifar10"
seeds = [20, 31]
paths = ["{plane2, plane4, plane10}", "plane10 -> plane4? -> plane2"]
paper = { "plane10 -> plane4 -> plane2" = 73.51 }
note = "see </main><script>"
"#;

/// A world in which everything but one run is finished.
fn world(layout: &str) -> World {
    let recipe = RECIPE.replace("LAYOUT", layout);
    let recipe =
        if layout == "methods" { recipe.replace("\"{plane2, plane4, plane10}\"", "\"plane2\"") } else { recipe };
    let world = World::new(&recipe, &Changes::default());
    let cell = world.experiment.cells[0].name.clone();
    for path in &world.plan.cells[0].paths {
        let path = path.path.to_string().replace('→', "->");
        let accuracy = 0.6 + path.len() as f64 / 200.0;
        world.finish(&cell, &path, 20, accuracy);
        if path == "plane2" {
            world.diverge(&cell, &path, 31, "the loss is <NaN> in epoch 3");
        } else {
            world.finish(&cell, &path, 31, accuracy + 0.001 * path.len() as f64);
        }
    }
    world
}

/// The values of an attribute.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let begin = format!(" {attribute}=\"");
    let parts = page.split(&begin).skip(1);
    parts.map(|part| part.split('"').next().unwrap()).collect()
}

#[test]
fn every_layout_is_a_page_that_loads_nothing_runs_nothing_and_links_to_what_it_has() {
    for layout in ["methods", "assistants", "teachers", "students", "graph", "paths"] {
        let world = world(layout);
        let page = world.report().to_html(&world.runs);
        assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"), "{layout}");
        for never in ["<script", "<img", "<i>", "<link", "@import", "url(", " src=", "javascript:"] {
            assert!(!page.contains(never), "{layout}: {never}");
        }
        // The one address is the name of SVG.
        assert_eq!(page.matches("http").count(), page.matches("http://www.w3.org/2000/svg").count(), "{layout}");
        let ids: BTreeSet<&str> = values(&page, "id").into_iter().collect();
        assert_eq!(ids.len(), values(&page, "id").len(), "{layout}: an id stands for two things");
        let links = values(&page, "href");
        assert!(layout == "paths" || !links.is_empty(), "{layout}");
        for link in links {
            assert!(ids.contains(link.strip_prefix('#').unwrap()), "{layout}: {link} leads nowhere");
        }
        for run in &world.plan.runs {
            assert!(page.contains(run.id.as_str()), "{layout}: {} is not there", run.name());
        }
        assert!(page.contains("the loss is &lt;NaN&gt; in epoch 3"), "{layout}");
        assert_eq!(page.contains("<svg"), layout != "paths", "{layout}");
    }
}

#[test]
fn figures_have_names_for_files_and_the_pages_own_words() {
    let world = world("assistants");
    let report = world.report();
    let figures = report.figures();
    let names: BTreeSet<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
    assert_eq!(names.len(), figures.len());
    for figure in &figures {
        assert!(figure.name.chars().all(|char| char.is_ascii_alphanumeric() || char == '-'), "{}", figure.name);
    }
    let has_papers_number = figures.iter().any(|figure| figure.to_svg(&takd_figures::Palette::LIGHT).contains("73.51"));
    assert!(has_papers_number);
}

/// A seed that has not come to an end neither cuts a curve nor takes it away.
#[test]
fn curves_are_of_the_seeds_that_are_finished() {
    let recipe = RECIPE.replace("LAYOUT", "methods").replace("\"{plane2, plane4, plane10}\"", "\"plane2\"");
    let world = World::new(&recipe, &Changes::default());
    let cell = world.experiment.cells[0].name.clone();
    world.finish_after(&cell, "plane10 -> plane2", 20, &[0.5, 0.6, 0.7]);
    world.finish_after(&cell, "plane10 -> plane2", 31, &[0.5, 0.6, 0.7]);
    world.finish_after(&cell, "plane2", 20, &[0.4, 0.5, 0.6]);
    world.begin(&cell, "plane2", 31, &[0.4]);
    let [figure] = <[takd_report::Figure; 1]>::try_from(world.report().learning_curves(&world.runs)).unwrap();
    let svg = figure.to_svg(&takd_figures::Palette::LIGHT);
    let points = svg.split("points=\"").skip(1).map(|part| part.split('"').next().unwrap().split(' ').count());
    assert_eq!(points.collect::<Vec<_>>(), [3, 3], "{svg}");
}

#[test]
fn page_without_a_result_has_no_figure_and_says_what_is_missing() {
    let world = World::new(&RECIPE.replace("LAYOUT", "graph"), &Changes::default());
    let page = world.report().to_html(&world.runs);
    assert!(!page.contains("<svg"), "{page}");
    assert!(page.contains("Not finished: "), "{page}");
}
