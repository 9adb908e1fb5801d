//! `cheops map`: the sites and their distances, drawn.

use std::collections::BTreeMap;

use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::output::{Output, Rows, field, items, milliseconds, seconds};
use super::{Context, Exit};

/// The longest bar, in columns.
const LONGEST: f64 = 40.0;
/// Names are not cut shorter, however narrow the terminal.
const SHORTEST: usize = 8;
/// Sites that are drawn one by one, the nearest, and distances that are listed; the others are summed up.
const DRAWN: usize = 24;
const LISTED: usize = 48;
/// Where nothing says how wide the terminal is.
const WIDTH: usize = 80;

pub fn run(context: &Context) -> anyhow::Result<Exit> {
    let document = context.client.get("/v1/map")?;
    let names = items(&document, "sites").iter().map(|site| vec![field(site, "name")]).collect();
    let names = Rows { header: &["NAME"], narrow: 1, rows: names };
    context.output.print(&document, &names, || text(&document, context.output, width()))?;
    Ok(Exit::Yes)
}

/// `COLUMNS`, else the terminal's own.
fn width() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let real = || rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| usize::from(size.ws_col));
    said.or_else(real).filter(|columns| *columns > 0).unwrap_or(WIDTH)
}

/// What one site measured of another, or what is estimated.
struct Known {
    ms: f64,
    text: String,
    /// Of an estimate.
    error: Option<String>,
    age: String,
    state: String,
    hears: bool,
}

/// The map for people, at most `width` columns wide as far as what is told of a site allows; names are cut.
fn text(document: &Value, output: Output, width: usize) -> String {
    let sites: Vec<(String, String)> =
        items(document, "sites").iter().map(|site| (field(site, "name"), field(site, "state"))).collect();
    let mut known = BTreeMap::new();
    for one in items(document, "distances").iter().chain(items(document, "estimates")) {
        let error = one.get("error-ms").is_some_and(Value::is_number).then(|| milliseconds(one, "error-ms"));
        let measured = Known {
            ms: one.get("rtt-ms").and_then(Value::as_f64).unwrap_or_default(),
            text: format!("{}{}", if error.is_some() { "~" } else { "" }, milliseconds(one, "rtt-ms")),
            error,
            age: seconds(one, "age-seconds"),
            state: field(one, "state"),
            hears: one.get("hears") == Some(&Value::Bool(true)),
        };
        known.insert((field(one, "from"), field(one, "to")), measured);
    }
    let here = field(document, "here");
    let mut lines = star(&here, &sites, &known, output, width);
    if sites.len() > 2 {
        lines.push(String::new());
        lines.extend(matrix(&sites, &known, width).unwrap_or_else(|| pairs(&known, width)));
    }
    lines.join("\n")
}

type Measurements = BTreeMap<(String, String), Known>;

/// The other sites as seen from here, the nearest first, each as far to the right as it is away.
fn star(here: &str, sites: &[(String, String)], known: &Measurements, output: Output, width: usize) -> Vec<String> {
    let of = |name: &str| known.get(&(here.to_owned(), name.to_owned()));
    let far = |name| of(name).map_or(f64::INFINITY, |known| known.ms);
    let mut others: Vec<_> = sites.iter().filter(|(name, _)| name != here).collect();
    others.sort_by(|(one, _), (other, _)| far(one).total_cmp(&far(other)));
    let more = others.split_off(others.len().min(DRAWN));
    // Beside bar and name: the branch, two spaces, and what is told.
    let beside = |name: &str, state: &str| told(of(name)).width() + ", ".len() + state.width() + 3;
    let widest = others.iter().map(|(name, state)| beside(name, state) + 1).max().unwrap_or_default();
    let names = others.iter().map(|(name, _)| name.width()).max().unwrap_or_default();
    let names = names.min(width.saturating_sub(widest).max(SHORTEST));
    let farthest = others.iter().filter_map(|(name, _)| of(name)).map(|known| known.ms).fold(0.0, f64::max);
    let part = |known: &Known| if farthest > 0.0 { known.ms / farthest } else { 0.0 };
    // So long that each line ends in time.
    let longest = others.iter().filter_map(|(name, state)| {
        let room = width.saturating_sub(beside(name, state) + names);
        Some(room as f64 / part(of(name)?))
    });
    let longest = longest.fold(LONGEST, f64::min);
    let mut lines = vec![cut(&format!("{here} (here)"), width)];
    for (index, (name, state)) in others.iter().enumerate() {
        let branch = if index + 1 == others.len() && more.is_empty() { '└' } else { '├' };
        let bar = of(name).map_or_else(|| "┄".to_owned(), |known| bar(known, part(known) * longest));
        let shown = padded(&cut(name, names), names, false);
        lines.push(format!("{branch}{bar} {shown} {}, {}", told(of(name)), painted(state, output)));
    }
    lines.extend(rest(&more).map(|line| cut(&line, width)));
    lines
}

/// The sites that aren't drawn one by one, by their states.
fn rest(sites: &[&(String, String)]) -> Option<String> {
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    sites.iter().for_each(|(_, state)| *states.entry(state).or_default() += 1);
    let states: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    (!sites.is_empty()).then(|| format!("└ {} more, farther or unknown: {}", sites.len(), states.join(", ")))
}

/// An estimated way is broken.
fn bar(known: &Known, length: f64) -> String {
    let line = if known.error.is_some() { "┄" } else { "─" };
    line.repeat((length as usize).max(1))
}

fn told(known: Option<&Known>) -> String {
    match known {
        None => "distance unknown".to_owned(),
        Some(Known { text, error: Some(error), .. }) => format!("{text} (estimated, ±{error})"),
        Some(Known { text, age, .. }) => format!("{text} ({age} ago)"),
    }
}

fn painted(state: &str, output: Output) -> String {
    match state {
        "up" => output.good(state),
        "down" => output.bad(state),
        _ => output.doubtful(state),
    }
}

/// Everybody to everybody; nothing when it would be too wide.
fn matrix(sites: &[(String, String)], known: &Measurements, width: usize) -> Option<Vec<String>> {
    const CORNER: &str = "FROM \\ TO";
    // No column is narrower; among very many sites it's not worth finding out how wide it would be.
    if sites.len().saturating_mul(3) > width {
        return None;
    }
    let cell = |from: &String, to: &String| match known.get(&(from.clone(), to.clone())) {
        _ if from == to => "-".to_owned(),
        Some(known) if known.state == "down" && known.hears => format!("{}<", known.text),
        Some(known) if known.state == "down" => format!("{}!", known.text),
        Some(known) => known.text.clone(),
        None => "?".to_owned(),
    };
    let first = sites.iter().map(|(name, _)| name.width()).chain([CORNER.width()]).max().unwrap_or_default();
    let widths: Vec<usize> = sites
        .iter()
        .map(|(to, _)| {
            sites.iter().map(|(from, _)| cell(from, to).width()).chain([to.width()]).max().unwrap_or_default()
        })
        .collect();
    if first + widths.iter().map(|width| width + 2).sum::<usize>() > width {
        return None;
    }
    let line = |name: &str, cells: Vec<String>| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("  {}", padded(cell, *width, true)));
        format!("{}{}", padded(name, first, false), cells.collect::<String>())
    };
    let mut lines = vec![line(CORNER, sites.iter().map(|(name, _)| name.clone()).collect())];
    lines.extend(sites.iter().map(|(from, _)| line(from, sites.iter().map(|(to, _)| cell(from, to)).collect())));
    let signs = [
        ("?", "unknown"),
        ("~", "estimated"),
        ("!", "as last measured; it is down"),
        ("<", "heard, but it doesn't answer"),
    ];
    let body = lines.join("\n");
    let used = signs.iter().filter(|(sign, _)| body.contains(sign));
    lines.extend(used.map(|(sign, meaning)| format!("{sign} {meaning}")));
    Some(lines)
}

/// One line for each distance, where a matrix has no room.
fn pairs(known: &Measurements, width: usize) -> Vec<String> {
    let mut all: Vec<_> = known.iter().collect();
    all.sort_by(|(_, one), (_, other)| one.ms.total_cmp(&other.ms));
    let line = |((from, to), known): &(&(String, String), &Known)| {
        cut(&format!("{} {from} to {to}", padded(&known.text, 7, true)), width)
    };
    let more = all.split_off(all.len().min(LISTED));
    let mut lines: Vec<String> = all.iter().map(line).collect();
    lines
        .extend((!more.is_empty()).then(|| cut(&format!("and {} longer ones: cheops map -o json", more.len()), width)));
    lines
}

/// What of a text fits into so many columns.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let fits = |sign: &char| {
        let left = room.checked_sub(sign.width().unwrap_or_default());
        room = left.unwrap_or_default();
        left.is_some()
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// By the columns that a text takes, not by its bytes.
fn padded(text: &str, width: usize, right: bool) -> String {
    let space = " ".repeat(width.saturating_sub(text.width()));
    if right { format!("{space}{text}") } else { format!("{text}{space}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::Format;

    fn document() -> Value {
        let one = |from: &str, to: &str, ms: f64, state: &str, hears: bool| json!({ "from": from, "to": to, "rtt-ms": ms, "age-seconds": 0.4, "state": state, "hears": hears });
        json!({
            "here": "Berlin",
            "sites": [{ "name": "Berlin", "state": "here" }, { "name": "Nantes", "state": "up" },
                { "name": "Nürnberg", "state": "unknown" }, { "name": "Paris", "state": "down" }],
            "distances": [one("Berlin", "Nantes", 60.0, "up", true), one("Berlin", "Paris", 20.0, "down", true),
                one("Nantes", "Paris", 9.5, "up", true), one("Paris", "Berlin", 20.0, "down", false)],
        })
    }

    #[test]
    fn sites_are_drawn_by_their_distance() {
        let plain = Output::new(Format::Table);
        let drawn = text(&document(), plain, 60);
        let expected = "\
Berlin (here)
├────────── Paris    20ms (0s ago), down
├──────────────────────────────── Nantes   60ms (0s ago), up
└┄ Nürnberg distance unknown, unknown

FROM \\ TO  Berlin  Nantes  Nürnberg  Paris
Berlin          -    60ms         ?  20ms<
Nantes          ?       -         ?  9.5ms
Nürnberg        ?       ?         -      ?
Paris       20ms!       ?         ?      -
? unknown
! as last measured; it is down
< heard, but it doesn't answer";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn estimates_are_drawn_as_such() {
        let mut document = document();
        let estimate = json!({ "from": "Berlin", "to": "Nürnberg", "rtt-ms": 30.0, "error-ms": 6.0, "age-seconds": 9.0, "state": "unknown" });
        document["estimates"] = json!([estimate]);
        let drawn = text(&document, Output::new(Format::Table), 60);
        assert!(drawn.contains("├┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄ Nürnberg ~30ms (estimated, ±6.0ms), unknown"), "{drawn}");
        assert!(drawn.contains("Berlin          -    60ms     ~30ms  20ms<"), "{drawn}");
        assert!(
            drawn.ends_with("? unknown\n~ estimated\n! as last measured; it is down\n< heard, but it doesn't answer")
        );
    }

    #[test]
    fn a_narrow_terminal_is_respected() {
        let drawn = text(&document(), Output::new(Format::Table), 40);
        assert!(drawn.lines().all(|line| line.width() <= 40), "{drawn}");
        assert!(drawn.ends_with(
            "  9.5ms Nantes to Paris\n   20ms Berlin to Paris\n   20ms Paris to Berlin\n   60ms Berlin to Nantes"
        ));
    }

    #[test]
    fn long_names_are_cut_where_there_is_no_room() {
        let long = "Saint-Remy-en-Bouzemont-Saint-Genest-et-Isson";
        let text_of = document().to_string().replace("Nantes", long);
        let drawn = text(&serde_json::from_str(&text_of).expect("JSON"), Output::new(Format::Table), 44);
        assert!(drawn.lines().all(|line| line.width() <= 44), "{drawn}");
        assert!(drawn.contains("Saint-Remy-") && drawn.contains('…') && !drawn.contains(long), "{drawn}");
        assert_eq!(["Nürnberg", "長い名前"].map(|name| cut(name, 6)), ["Nürnb…", "長い…"]);
        assert_eq!(cut("Paris", 5), "Paris");
    }

    #[test]
    fn of_a_thousand_sites_the_nearest_are_drawn() {
        let name = |number: usize| format!("S{number:03}");
        let state = |number: usize| if number.is_multiple_of(10) { "down" } else { "up" };
        let sites: Vec<Value> =
            (0..1000).map(|number| json!({ "name": name(number), "state": state(number) })).collect();
        let far = |number: usize| json!({ "from": "S000", "to": name(number), "rtt-ms": number, "error-ms": 1, "age-seconds": 1, "state": "up" });
        let estimates: Vec<Value> = (1..1000).map(far).collect();
        let document = json!({ "here": "S000", "sites": sites, "distances": [], "estimates": estimates });
        let began = std::time::Instant::now();
        let drawn = text(&document, Output::new(Format::Table), 200);
        assert!(began.elapsed().as_secs() < 2, "{:?}", began.elapsed());
        assert!(drawn.lines().count() < 80, "{}", drawn.lines().count());
        assert!(drawn.contains("S024") && !drawn.contains("S025 ~"), "{drawn}");
        assert!(drawn.contains("\n└ 975 more, farther or unknown: 97 down, 878 up\n"), "{drawn}");
        assert!(drawn.ends_with("and 951 longer ones: cheops map -o json"), "{drawn}");
    }
}
