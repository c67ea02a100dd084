internal import Foundation

/// A graph as markup to be put into a page.
struct FlameGraphImage {
    /// The `svg` element.
    let markup: String
    /// In pixels.
    let width: Int
    let height: Int
}

extension FlameGraph {
    /// The file's image without what comes before it in a file of its own.
    func image() -> FlameGraphImage {
        let file = String(decoding: svg(), as: UTF8.self)
        let markup = file.range(of: "<svg").map { String(file[$0.lowerBound...]) } ?? file
        return FlameGraphImage(
            markup: markup, width: Self.size("width", of: markup),
            height: Self.size("height", of: markup))
    }

    /// The number of the element's first attribute of this name.
    private static func size(_ attribute: String, of markup: String) -> Int {
        guard let name = markup.range(of: " \(attribute)=\"") else { return 0 }
        return Int(markup[name.upperBound...].prefix { $0.isNumber }) ?? 0
    }
}
