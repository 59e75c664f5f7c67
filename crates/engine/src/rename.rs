//! Another name for a container. Its record says what it is called; a name that points to a container whose record says
//! otherwise is one that a rename has left, or is about to take.

use error::{Refused, RefusedKind, Result};

use crate::containers::{Engine, no_such};

impl Engine {
    /// Calls a container `name`, whether it runs or not. Its monitor finds out at its end.
    ///
    /// # Errors
    /// Refused (a conflict) where the name is taken, by the container itself too; a kernel error. It has its old name then.
    pub fn rename(&self, word: &str, name: &str) -> Result<()> {
        let id = self.find(word)?.record.id;
        // From here on its end, and another rename, wait.
        let held = self.store.hold(&id)?;
        let mut record = self.store.record(&id)?.ok_or_else(|| no_such(word))?;
        if record.name == name {
            let refused = Refused::new("the name", name, "is what the container is called already");
            return Err(refused.kind(RefusedKind::Conflict).into());
        }
        self.store.begin_renaming(&record, name)?;
        let old = std::mem::replace(&mut record.name, name.to_owned());
        let renamed = self.store.claim_name(name, &id).and_then(|()| self.store.write_record(&record));
        let ended = self.store.end_renaming(&id);
        renamed.map_err(|error| match error {
            error::Error::Refused(refused) => Refused { field: "the name".to_owned(), ..*refused }.into(),
            other => other,
        })?;
        self.rename_in_networks(&id, name)?;
        drop(held);
        self.store.tell(&record, "rename", &[("oldName", format!("/{old}"))]);
        ended
    }
}
