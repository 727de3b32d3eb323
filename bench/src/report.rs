//! The report: tables in Markdown, for people and for `docs/performance.md`.

use crate::Failure;
use crate::rounds::{Results, Sample, Subject};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

/// The medians of all rounds of one cell.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) subject: Subject,
    pub(crate) connections: usize,
    pub(crate) answer_bytes: usize,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_us: f64,
    /// Least and most processor time of any round.
    spread: (f64, f64),
    /// Median over the rounds of this subject's processor time over the floor's in the same round. `None` for direct calls.
    pub(crate) floors: Option<f64>,
}

/// One row for each cell, in the order they were first measured.
pub(crate) fn rows(samples: &[Sample]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for sample in samples {
        let cell = |other: &&Sample, subject| {
            other.subject == subject
                && other.connections == sample.connections
                && other.answer_bytes == sample.answer_bytes
        };
        let known = rows.iter().any(|row| {
            row.subject == sample.subject
                && row.connections == sample.connections
                && row.answer_bytes == sample.answer_bytes
        });
        if known {
            continue;
        }
        let own: Vec<&Sample> = samples.iter().filter(|other| cell(other, sample.subject)).collect();
        let floor = samples.iter().filter(|other| cell(other, Subject::Floor));
        let ratios: Vec<f64> = own.iter().zip(floor).map(|(own, floor)| own.cpu_us / floor.cpu_us).collect();
        let column = |of: fn(&Sample) -> f64| own.iter().map(|sample| of(sample)).collect::<Vec<_>>();
        let cpu = column(|sample| sample.cpu_us);
        rows.push(Row {
            subject: sample.subject,
            connections: sample.connections,
            answer_bytes: sample.answer_bytes,
            per_second: median(column(|sample| sample.per_second)),
            p50_us: median(column(|sample| sample.p50_us)),
            p99_us: median(column(|sample| sample.p99_us)),
            spread: (cpu.iter().copied().fold(f64::INFINITY, f64::min), cpu.iter().copied().fold(0.0, f64::max)),
            cpu_us: median(cpu),
            floors: (sample.subject != Subject::Direct && !ratios.is_empty()).then(|| median(ratios)),
        });
    }
    rows
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied().unwrap_or(f64::NAN);
    if values.len().is_multiple_of(2) {
        values.get(middle.wrapping_sub(1)).map_or(f64::NAN, |lower| f64::midpoint(*lower, upper))
    } else {
        upper
    }
}

/// The generated part of the page.
pub(crate) fn render(results: &Results) -> String {
    let mut text = String::new();
    for (name, value) in &results.facts {
        _ = writeln!(text, "- {name}: {value}");
    }
    for missing in &results.missing {
        _ = writeln!(text, "- Not measured: {missing}");
    }
    let rows = rows(&results.samples);
    let mut size = None;
    for row in &rows {
        if size != Some(row.answer_bytes) {
            size = Some(row.answer_bytes);
            _ = write!(
                text,
                "\n**Answers of {}**, arguments of 1 KiB\n\n\
                 | Connections | Subject | Calls/s | p50 us | p99 us | CPU us per call (least–most) | CPU, in floors |\n\
                 | ---: | --- | ---: | ---: | ---: | ---: | ---: |\n",
                bytes(row.answer_bytes)
            );
        }
        let floors = row.floors.map_or_else(|| "–".to_owned(), |floors| format!("{floors:.2}"));
        _ = writeln!(
            text,
            "| {} | {} | {:.0} | {:.0} | {:.0} | {:.1} ({:.1}–{:.1}) | {floors} |",
            row.connections,
            row.subject.name(),
            row.per_second,
            row.p50_us,
            row.p99_us,
            row.cpu_us,
            row.spread.0,
            row.spread.1,
        );
    }
    text.push_str(
        "\n**Memory**\n\n| Process | Resident when idle, MiB | Most resident, MiB |\n| --- | ---: | ---: |\n",
    );
    for footprint in &results.footprints {
        let name = if footprint.subject == Subject::Direct { "upstream" } else { footprint.subject.name() };
        let mib = |kib: u64| kib as f64 / 1024.0;
        _ = writeln!(
            text,
            "| {name} | {:.1} | {:.1} |",
            mib(footprint.idle.resident_kib),
            mib(footprint.after.peak_kib)
        );
    }
    if let Some(each) = &results.allocations {
        _ = writeln!(
            text,
            "\nThe gateway's heap traffic for one call of 1 KiB: {:.1} allocations and {:.1} reallocations, {:.0} bytes in all.",
            each.allocations, each.reallocations, each.bytes
        );
    }
    text
}

fn bytes(count: usize) -> String {
    match count {
        count if count >= 1 << 20 && count.is_multiple_of(1 << 20) => format!("{} MiB", count >> 20),
        count if count >= 1 << 10 && count.is_multiple_of(1 << 10) => format!("{} KiB", count >> 10),
        count => format!("{count} B"),
    }
}

/// Puts `text` between the markers of the page; makes the page if it is not there.
pub(crate) fn write(page: &Path, text: &str) -> Result<(), Failure> {
    let old = match fs::read_to_string(page) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => format!("# Performance\n\n{BEGIN}\n{END}\n"),
        Err(error) => return Err(error.into()),
    };
    if let Some(parent) = page.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(fs::write(page, replace(&old, text).ok_or("the page has no markers for the tables")?)?)
}

fn replace(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{text}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(subject: Subject, cpu_us: f64) -> Sample {
        Sample { subject, connections: 1, answer_bytes: 1024, per_second: 1.0, p50_us: 1.0, p99_us: 1.0, cpu_us }
    }

    #[test]
    fn ratios_are_taken_within_a_round_and_then_their_median() {
        let samples = [
            sample(Subject::Direct, 5.0),
            sample(Subject::Floor, 10.0),
            sample(Subject::Gateway, 30.0),
            // A round in which the machine was busy: everything costs double, the ratio does not.
            sample(Subject::Direct, 10.0),
            sample(Subject::Floor, 20.0),
            sample(Subject::Gateway, 60.0),
            sample(Subject::Direct, 5.0),
            sample(Subject::Floor, 10.0),
            sample(Subject::Gateway, 20.0),
        ];
        let rows = rows(&samples);
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0].floors, None);
        assert_eq!(rows[1].floors, Some(1.0));
        assert_eq!(rows[2].floors, Some(3.0));
        assert!((rows[2].cpu_us - 30.0).abs() < 1e-9);
    }

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let page = format!("# A\n{BEGIN}\nold\n{END}\nafter\n");
        assert_eq!(replace(&page, "new\n").unwrap(), format!("# A\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert_eq!(replace("# no markers\n", "new\n"), None);
    }
}
