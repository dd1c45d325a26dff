//! Types that are serialised as the text that they print as and parse from.

/// Serialises `$type`, which has `#[serde(try_from = "String", into = "String")]`, as its text.
macro_rules! serialised_as_text {
    ($type:ty, $error:ty) => {
        impl TryFrom<String> for $type {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}

pub(crate) use serialised_as_text;
