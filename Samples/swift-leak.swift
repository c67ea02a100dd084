// A store of 500 class instances that are never let go. Waits for a line on stdin.
import Glibc

final class Session {
    let name: String
    var payload: [UInt8]

    init(name: String) {
        self.name = name
        payload = [UInt8](repeating: 1, count: 9000)
    }
}

final class SessionStore {
    private var sessions: [String: Session] = [:]

    @inline(never)
    func open(_ name: String) { sessions[name] = Session(name: name) }

    var count: Int { sessions.count }
}

let store = SessionStore()
for number in 0..<500 { store.open("session \(number)") }
print("ready \(store.count)")
fflush(nil)
_ = readLine()
