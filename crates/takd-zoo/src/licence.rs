//! Names of licences.

/// What was given is no name of a licence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("licence `{}` is no identifier such as mit, apache-2.0 or other", .0.escape_debug())]
pub struct BadLicence(pub String);

/// Takes the name of a licence as the hub has them: letters, digits, `-`, `.` and `_`.
///
/// # Errors
///
/// [`BadLicence`] if there is anything else in it, or nothing.
pub fn licence(text: &str) -> Result<String, BadLicence> {
    let is_name = !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c));
    if is_name { Ok(text.to_owned()) } else { Err(BadLicence(text.to_owned())) }
}
