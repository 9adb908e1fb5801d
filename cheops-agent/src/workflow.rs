//! Which scoped request caused a call, so that the scope binds the calls that services make while they handle it
//! (SPEC.md 3.2).
//!
//! Only ids that the application itself carries link a call to a request; nothing is guessed. `links` finds them in a
//! head. `table` keeps, for each id of a scoped request, its completed scope from before the request is sent until some
//! time after its answer, since services work on in the background; a request that carries a live id and no scope inherits
//! that scope.
//!
//! - A record is made after its request was decided about, so it never applies to it; and the agent's own connections
//!   to services are not taken, so the request doesn't come by again.
//! - A call with an own scope is served by that, whatever its workflow says. If its ids are live, they then stand for
//!   both scopes, and calls below it that name none are refused rather than guessed about.
//! - A request with an own scope whose id is live under another scope at the same service is no call within that
//!   workflow, but another request with a used id: it is refused before anything was done.
//! - The agents that a request passes record it too, by its envelope; the other agents of a site are told by their peer
//!   links before it is sent (`act`'s notes). An agent that could not be told in time is counted; and one that was not told
//!   asks the others before it takes a call for local (`act::ids`).
//! - A workflow is its caller's: a record has a mark of the credential (`caller`). A call with another one is a service's
//!   own and stays where it is made; without one it follows its cause. Another caller's request with the same id is refused.
//! - A credential itself links only where the profile says so, and only if exactly one live scope uses it.
//! - Where the scope leaves open which site serves a service (`||`, `around`, `*`), the first call that is served decides
//!   it for the later ones: a site that comes nearer, or back, meanwhile is not where the workflow is. The place is kept
//!   with the record, and told to the agents that later requests pass; an agent above the one that chose isn't told, and
//!   a union of lists places nothing. What is about one resource is looked for elsewhere if it isn't there (404).
//! - An id that the profile wants set (`template`) is set where a scoped request enters, before it is decided whose calls
//!   it will have: also in place of one that the application would not hand on.
//! - A record lives as long as its requests are open, and after each answer, the first request's or a call's, some time
//!   again: an instance is built for minutes, but not without a call for so long. What only reads lives shorter.
//! - Records outlive the process (`journal`, `follow`): a call of a request that was live when the agent ended is linked by
//!   the next one. `story` is what people are shown of a workflow.
//!
//! `homes` is about the credentials of requests: at which site each was issued.

mod caller;
mod counters;
mod follow;
pub mod homes;
mod journal;
mod line;
pub mod links;
pub mod live;
mod record;
mod story;
mod table;
pub mod template;

pub use caller::Caller;
pub use counters::{Asked, Counters, Refused, Stayed};
pub use homes::{Home, Homes, Known, Mark, Tag, Told};
pub use line::{Line, VERSION};
pub use links::{Kind, Link, Links};
pub use live::{Held, Keep, Linked, Shown, Workflows};
pub use record::{Found, Inherited, Maker, WorkflowError};
pub use story::{Called, Came, Failure, Story};
