//! Finding a data set's parquet files under a folder that the user named.

use crate::{
    DatasetName, Result, layout,
    lookup::{Lookup, in_folder},
};
use std::path::Path;

/// Looks where the hub's layout puts the data set below `folder`, from the innermost place outwards.
pub(crate) fn find(name: DatasetName, folder: &Path) -> Result<Lookup> {
    let (own, config) = (folder.join(name.as_str()), folder.join(layout::folder(name)));
    let mut places = vec![own.join(layout::folder(name)), own, config, folder.to_path_buf()];
    places.dedup();
    let mut looked = Vec::new();
    for place in places {
        match in_folder(&place)? {
            Lookup::Missing(found) => looked.extend(found),
            found => return Ok(found),
        }
    }
    Ok(Lookup::Missing(looked))
}
