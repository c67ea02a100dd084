package import LeakprofModel

extension Snapshot {
    /// The snapshot with stacks that run through Python code as its programmers know them: Python's frames,
    /// and those of other languages that lie between them.
    ///
    /// Left out are the interpreter's own frames, how threads and programs begin, and what Python's innermost
    /// frame called: that line asked for the memory, whatever C code carried it out. Stacks without Python
    /// frames stay as they are.
    package func foldingInterpreter() -> Snapshot {
        let isPython = locations.map { $0.mapping.map { mappings[$0].isPython } ?? false }
        guard isPython.contains(true) else { return self }
        let interpreter = facts.recording?.python?.interpreter
        let isFolded = locations.map { location in
            guard let mapping = location.mapping else { return false }
            if let interpreter, mappings[mapping].path == interpreter { return true }
            return location.frames.allSatisfy(FrameClassifier.isEntry)
        }
        var result = self
        for index in samples.indices {
            let stack = samples[index].stack
            guard let innermost = stack.firstIndex(where: { isPython[$0] }) else { continue }
            result.samples[index].stack = stack[innermost...].filter { !isFolded[$0] }
        }
        return result
    }

    /// The snapshot with the blocks of these memory domains alone; of a program without an interpreter, all
    /// blocks are malloc's.
    package func keeping(_ domains: Set<MemoryDomain>) -> Snapshot {
        var result = self
        result.samples.removeAll { !domains.contains($0.domain ?? .malloc) }
        return result
    }
}
