internal import LeakprofModel

/// What growth is divided by, so that a busier time is not taken for a leak.
package struct Divisor: Sendable {
    /// How much was done.
    package enum Amount: Sendable {
        /// From the base to the current snapshot.
        case between(Double)
        /// By the process of each up to its snapshot, where they are different ones.
        case each(base: Double, current: Double)
    }

    /// What one of them is called: `request`.
    package var unit: String
    package var amount: Amount

    package init(unit: String, amount: Amount) {
        self.unit = unit
        self.amount = amount
    }

    /// `+40.0 KiB per request`; of two runs, `39.1 KiB → 40.2 KiB per request`.
    func words(_ base: Int64, _ current: Int64, quantity: (Int64, _ isSigned: Bool) -> String)
        -> String
    {
        amounts(base, current, quantity: quantity) + " per " + unit
    }

    /// The same without what it is per.
    func amounts(_ base: Int64, _ current: Int64, quantity: (Int64, _ isSigned: Bool) -> String)
        -> String
    {
        switch amount {
        case .between(let done):
            return quantity(Self.divide(current.saturatingSubtract(base), done), true)
        case .each(let first, let second):
            return quantity(Self.divide(base, first), false) + " → "
                + quantity(Self.divide(current, second), false)
        }
    }

    /// How much more it is per one, for putting things in order.
    func change(_ base: Int64, _ current: Int64) -> Int64 {
        switch amount {
        case .between(let done): Self.divide(current.saturatingSubtract(base), done)
        case .each(let first, let second):
            Self.divide(current, second).saturatingSubtract(Self.divide(base, first))
        }
    }

    private static func divide(_ value: Int64, _ done: Double) -> Int64 {
        (Double(value) / done).rounded().clamped
    }

    /// For the script, which divides in the same way.
    func json(unit: String) -> String {
        switch amount {
        case .between(let done): "{\"unit\":\(unit),\"between\":\(done)}"
        case .each(let first, let second):
            "{\"unit\":\(unit),\"base\":\(first),\"current\":\(second)}"
        }
    }
}
