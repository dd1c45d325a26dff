//! Which network a file's tensors are by their names and shapes, or which they are most like.

use crate::layers::Shapes;
use crate::{Misfit, ModelSpec, Nearest, Recognised};

/// The network with exactly these tensors.
pub(crate) fn recognise(found: &Shapes) -> Option<Recognised> {
    let mut networks = ModelSpec::all().filter_map(|spec| Some(Recognised { spec, classes: classes(found, spec)? }));
    networks.find(|network| tensors(network.spec, network.classes) == *found)
}

/// The network that the tensors are most like, and how much; `None` if they are like none, or exactly as one.
pub(crate) fn nearest(found: &Shapes) -> Option<(Nearest, f64)> {
    let alike = ModelSpec::all().filter_map(|spec| {
        let classes = classes(found, spec);
        let expected = tensors(spec, classes.unwrap_or(1));
        let likeness = Some(likeness(found, &expected)).filter(|&likeness| likeness >= 0.5)?;
        Some((Nearest { spec, classes, misfit: difference(found, &expected)? }, likeness))
    });
    alike.max_by(|(_, a), (_, b)| a.total_cmp(b))
}

/// From 0, if no name is in both, over 1, if all names are and no shape, to 2.
pub(crate) fn likeness(found: &Shapes, expected: &Shapes) -> f64 {
    let both = expected.iter().filter_map(|(name, shape)| Some((found.get(name)?, shape)));
    let (mut names, mut shapes) = (0, 0);
    for (found, expected) in both {
        names += 1;
        shapes += usize::from(found == expected);
    }
    (names + shapes) as f64 / (found.len() + expected.len() - names).max(1) as f64
}

/// The first difference that counts: what explains all that is missing, what is missing, then shapes, then what is left over.
pub(crate) fn difference(found: &Shapes, expected: &Shapes) -> Option<Misfit> {
    let missing: Vec<_> = expected.keys().filter(|name| !found.contains_key(*name)).collect();
    let projections = expected.keys().filter(|name| is_projection(name)).count();
    if projections > 0 && missing.len() == projections && missing.iter().all(|name| is_projection(name)) {
        return Some(Misfit::NoProjections);
    }
    if let Some(&name) = missing.first() {
        return Some(Misfit::Missing(name.clone()));
    }
    for (name, expected) in expected {
        let Some(found) = found.get(name).filter(|found| *found != expected) else { continue };
        if name == "conv1.weight" && expected.ends_with(&[7, 7]) && found.ends_with(&[3, 3]) {
            return Some(Misfit::CifarStem);
        }
        return Some(Misfit::Shape { tensor: name.clone(), found: found.clone(), expected: expected.clone() });
    }
    let unused: Vec<_> = found.keys().filter(|name| !expected.contains_key(*name)).cloned().collect();
    (!unused.is_empty()).then_some(Misfit::Unused(unused))
}

fn is_projection(name: &str) -> bool {
    name.contains(".downsample.")
}

fn tensors(spec: ModelSpec, classes: usize) -> Shapes {
    spec.layers(classes).tensors()
}

/// The last layer's bias has a number for each class.
fn classes(found: &Shapes, spec: ModelSpec) -> Option<usize> {
    let logits = spec.layers(1).fully_connected.pop()?;
    match found.get(&format!("{}.bias", logits.name))?.as_slice() {
        &[classes] if classes > 0 => Some(classes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_is_recognised_by_its_tensors() {
        for spec in ModelSpec::all() {
            for classes in [1, 10, 100] {
                assert_eq!(recognise(&tensors(spec, classes)), Some(Recognised { spec, classes }));
            }
        }
        assert_eq!(recognise(&tensors("plane2".parse().unwrap(), 0)), None);
    }
}
