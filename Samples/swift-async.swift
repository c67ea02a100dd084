// Asynchronous functions that call each other in many tasks: their frames are not on any thread's stack
// while they wait.

func leaf(_ depth: Int) async -> [Int] {
    if depth == 0 { return Array(0..<50) }
    return await leaf(depth - 1).map { $0 &+ depth }
}

@main struct Program {
    static func main() async {
        var total = 0
        await withTaskGroup(of: Int.self) { group in
            for i in 0..<2000 {
                group.addTask { await leaf(i % 12).reduce(0, &+) }
            }
            for await sum in group { total &+= sum }
        }
        print(total)
    }
}
