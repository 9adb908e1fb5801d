//! A plan for people and for machines.

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
        "reasons": plan.reasons,
    })
}

/// The plan as lines of text: what it comes to, then each step that led there.
pub fn text(plan: &Plan) -> String {
    let document = document(plan);
    let mut out = String::new();
    for name in ["service", "resource-kind", "id", "operation", "entry", "scope", "plan", "sites"] {
        let value = match document.get(name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            Some(other) => other.to_string(),
        };
        out += &format!("{name:<13} {value}\n");
    }
    for reason in &plan.reasons {
        out += &format!("because       {} [{}]\n", reason.text, reason.code);
    }
    out
}
