internal import Glibc

/// Does two things that have nothing to do with each other at the same time, and returns both results.
///
/// The second one runs on a thread of its own with as much stack as the main one has: trees are gone through by
/// functions that call themselves.
package func concurrently<First, Second: Sendable>(
    _ first: () -> First, _ second: @escaping @Sendable () -> Second
) -> (First, Second) {
    let task = ThreadTask(second)
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, 8 << 20)
    var thread = pthread_t()
    let status = pthread_create(
        &thread, &attributes,
        { argument in
            if let argument {
                Unmanaged<AnyThreadTask>.fromOpaque(argument).takeUnretainedValue().run()
            }
            return nil
        }, Unmanaged<AnyThreadTask>.passUnretained(task).toOpaque())
    let result = first()
    // Where there may be no more threads, it takes longer.
    if status == 0 { pthread_join(thread, nil) } else { task.run() }
    return (result, task.result())
}

private class AnyThreadTask {
    func run() {}
}

/// Its result is written by one thread, which has ended before another one reads it.
private final class ThreadTask<Result: Sendable>: AnyThreadTask, @unchecked Sendable {
    private let body: @Sendable () -> Result
    private var value: Result?

    init(_ body: @escaping @Sendable () -> Result) { self.body = body }

    override func run() { value = body() }

    func result() -> Result { value ?? body() }
}
