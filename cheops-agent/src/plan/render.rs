//! A plan as a document: what `explain` answers, and `cheops explain` prints.

use serde_json::{Value, json};

use super::model::Plan;

/// The plan as a document, as `explain` answers it.
pub fn document(plan: &Plan) -> Value {
    let sites: Vec<&str> = plan.route.destinations().iter().map(|to| to.site.as_str()).collect();
    json!({
        "service": plan.service,
        "resource-kind": plan.kind,
        "id": plan.id,
        "operation": plan.op,
        "entry": plan.entry,
        "addressed": plan.addressed,
        "scope": plan.scope.as_ref().map(|scope| &scope.normal),
        "scope-source": plan.scope.as_ref().map(|scope| scope.source),
        "scope-completed": plan.scope.as_ref().map(|scope| &scope.completed),
        "plan": plan.route.name(),
        "sites": if sites.is_empty() { vec![plan.addressed.as_str()] } else { sites },
        "distances": plan.candidates,
        "reasons": plan.reasons,
    })
}
