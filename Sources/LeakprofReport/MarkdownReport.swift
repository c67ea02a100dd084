internal import LeakprofAnalysis
internal import LeakprofModel

/// An incident report in Markdown (CommonMark with GitHub's tables), filled from the data.
///
/// What nobody can know from snapshots, why the memory is kept and what prevents it, is left to whoever knows the
/// program, and said to be.
package enum MarkdownReport {
    package static func bytes(of story: GrowthStory) -> [UInt8] {
        let sections = [
            ["# " + text(story.title)], summary(story), rootCause(story), identification(story),
            impact(story), prevention(story),
        ]
        let lines = sections.joined(separator: [""])
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }

    private static func text(_ text: String) -> String { Sanitized.markdown(text) }

    private static func summary(_ story: GrowthStory) -> [String] {
        let sentences = [story.headline + ".", story.culprit, story.steadiness]
        return ["## Summary", "", sentences.compactMap { $0 }.map(text).joined(separator: "\n")]
            + story.cautions.flatMap { ["", "Note: " + text($0)] }
    }

    private static func rootCause(_ story: GrowthStory) -> [String] {
        var lines = ["## Root cause", ""]
        guard let row = story.grown.first else {
            return lines + ["Nothing that grew stands out: there is no root cause in the data."]
        }
        let size = Quantity.precise(Measures(story.diff.sampleType).size(row.change))
        lines.append(
            text("\(row.key.label) holds \(size) more than before. ") + text(story.survivors ?? ""))
        lines.append("")
        lines.append("The stack, innermost call first:")
        lines.append("")
        let callers = row.callers.shared.isEmpty ? row.callers.ofLargest : row.callers.shared
        lines += ([row.site] + callers.prefix(12)).map { site in
            let place =
                site.frame.file.isEmpty ? site.module : "\(site.frame.file):\(site.frame.line)"
            return "1. " + text(TextReport.shortName(site.frame.function))
                + (place.isEmpty ? "" : ", " + text(place))
        }
        for excerpt in story.excerpts.prefix(1) {
            lines += ["", text(excerpt.place) + ":", ""]
            // Four spaces make code of it, whatever it holds.
            lines += excerpt.lines.map { number, code in
                "    \(number == excerpt.line ? ">" : " ") \(number)  " + Sanitized.line(code)
            }
        }
        return lines + [
            "",
            "Why these blocks are kept is not in the data: a cache without a limit, a reference that is never dropped, "
                + "or work that is still under way look the same. To be filled in.",
        ]
    }

    private static func identification(_ story: GrowthStory) -> [String] {
        var lines = [
            "## Identification", "",
            "| snapshot | taken | recorded for | live heap | blocks | resident |",
            "|---|---|---|---:|---:|---:|",
        ]
        for moment in story.moments {
            let cells = [
                moment.name, GrowthStory.time(moment.facts.capturedAt),
                moment.facts.duration > 0 ? Quantity.duration(moment.facts.duration) : "",
                Quantity.precise(moment.live.inuseSpace),
                moment.live.inuseObjects > 0 ? Quantity.grouped(moment.live.inuseObjects) : "",
                moment.facts.process?.residentBytes.map { Quantity.precise($0) } ?? "",
            ]
            lines.append("| " + cells.map(text).joined(separator: " | ") + " |")
        }
        if let recording = story.last.facts.recording {
            lines += ["", text("Recorded by leakprof: \(TextReport.recordingWords(recording)).")]
        }
        let per = story.divisor.map { " per " + text($0.unit) + " |" } ?? ""
        lines += [
            "", "What grew most:", "",
            "| where | change | size |" + (story.knowsBlocks ? " blocks | average |" : "") + per,
            "|---|---:|---:|" + (story.knowsBlocks ? "---:|---:|" : "")
                + (per.isEmpty ? "" : "---:|"),
        ]
        let measures = Measures(story.diff.sampleType)
        for row in story.grown.prefix(story.limit) {
            var cells = [
                row.key.label, Quantity.bytes(measures.size(row.change), signed: true),
                Quantity.bytes(measures.size(row.current)),
            ]
            if story.knowsBlocks {
                cells += [
                    "\(measures.count(row.current)) (\(Quantity.signed(measures.count(row.change))))",
                    Quantity.bytes(measures.average(row.current)),
                ]
            }
            if let divisor = story.divisor {
                cells.append(
                    divisor.amounts(measures.size(row.base), measures.size(row.current)) {
                        Quantity.bytes($0, signed: $1)
                    })
            }
            lines.append("| " + cells.map(text).joined(separator: " | ") + " |")
        }
        return lines
    }

    private static func impact(_ story: GrowthStory) -> [String] {
        let known = [story.explained, story.outlook].compactMap { $0 }.map(text)
        return ["## Impact", ""]
            + (known.isEmpty
                ? ["Neither resident memory nor a memory limit is in the data."]
                : [known.joined(separator: "\n")])
            + ["", "Who was affected is not in the data. To be filled in."]
    }

    private static func prevention(_ story: GrowthStory) -> [String] {
        [
            "## Prevention", "",
            "What has to change is for those to say who know the program. To be filled in.", "",
            "Whether a change helped shows in the same comparison, under the same load:", "",
            "    leakprof snapshot PID -o early",
            "    leakprof snapshot PID -o late",
            "    leakprof diff early late",
        ]
    }
}
