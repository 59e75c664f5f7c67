//! `explain`: the plan of a container, printed, with nothing done: every step that `create` and `start` would take.

use bumpalo::Bump;
use error::{Error, RefusedKind, Result};
use runtime::explain::{Explained, Told};
use runtime::root::Root;

use crate::arguments::Invocation;
use crate::container::pretty;
use crate::create;
use crate::list::Form;
use crate::report::{self, Log};
use crate::store::Store;

/// `explain`: of the bundle that is named, or of that which a known container was made from.
///
/// # Errors
/// As `create`, for what can be seen before anything is done.
pub(crate) fn explain(store: &Store, invocation: &Invocation, log: &Log) -> Result<()> {
    let form = Form::of(invocation)?;
    let known = match store.record(invocation.id()?) {
        Err(Error::Refused(refused)) if refused.kind == RefusedKind::NoSuchObject => None,
        record => Some(record?.bundle),
    };
    let bundle = match known.filter(|_| invocation.value("bundle").is_none()) {
        Some(bundle) => bundle.into(),
        None => create::bundle(invocation)?,
    };
    let draft = create::draft(&bundle, invocation, log)?;
    let facts = create::facts(store, &draft.config, draft.place.site.clone(), invocation)?;
    let arena = Bump::new();
    let plan = runtime::plan::plan(&draft.config, &facts, &draft.terms(), &arena)?;
    let root = draft.config.root.as_ref().map(|root| Root::Folder(root.path.clone().into()).describe());
    let explained = Explained {
        config: &draft.config,
        hierarchies: &facts.hierarchies,
        plan: &plan,
        root: root.as_deref().unwrap_or_default(),
        filter: draft.filter.as_ref(),
        calls_allowed: None,
    };
    match form {
        Form::Table => report::line(&explained.text(Told::Steps)),
        Form::Json => report::line(&pretty(&explained.document())),
    }
}
