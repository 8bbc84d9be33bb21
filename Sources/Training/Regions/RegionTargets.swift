internal import Data
internal import Foundation
internal import Media
internal import Models
internal import Text

/// What the features of a sequence's pictures should tell about the places that they stand for; one entry a feature, in
/// the order of the vision part. Entries that are not told are -100.
struct RegionTargets: Sendable, Codable {
    static let untold = -100
    /// Characters that one feature may tell, from left to right.
    static let slots = 4
    /// Classes of places: sixths of a feature's side, counted from the picture's corner, or hundredths of the picture's.
    static let steps = 100
    private static let stepsPerFeature = 6.0
    struct Look: Sendable, Codable {
        var row: Int
        var features: [[Int]]
        /// Where the things are, four of `places` for each; untold where several objects are meant.
        var places: [[Int]]
        /// The same in hundredths of the picture's sides, which an answer can know.
        var parts: [[Int]]
        /// What each thing is worth, as bars are.
        var values: [Int]
        /// How two things stand to one another, of `orders` kinds: 1 where the first is further right, further down, worth
        /// more; 0 where the second is.
        var order = Array(repeating: RegionTargets.untold, count: RegionTargets.orders)
        /// Characters of the line that is read that come before those that the row predicts.
        var written = RegionTargets.untold
    }
    static let orders = 3
    /// Two middles nearer than this, in parts of the picture's side, have no order.
    private static let clearance = 0.06
    /// What is told of where in a text a feature stands: characters of its line before it, and lines above.
    static let margins = 2
    /// The most characters and lines that are told.
    static let mostWritten = 20
    /// How many a running count tells at most.
    static let mostCounted = 20
    /// Running counts of a feature: of its shape, its colour, both, and of everything.
    static let tallies = 4
    /// The furthest edge that a feature tells, in its own sides.
    private static let reach = 6.0

    private(set) var kinds: [Int] = []
    private(set) var colors: [Int] = []
    private(set) var values: [Int] = []
    /// `slots` for each feature.
    private(set) var characters: [Int] = []
    /// Left, top, right and bottom edge of what the feature belongs to, from the feature's middle and in its own sides.
    private(set) var edges: [Float] = []
    /// The same edges as distances from the picture's left and upper edge, in `steps`. Not in parts of the picture's
    /// sides: a causal decoder learns only at the picture's end how large it was.
    private(set) var places: [Int] = []
    /// Tokens that predict a part of an answer, by row, with the features that they should look at: one list for each
    /// thing asked about.
    private(set) var looks: [Look] = []
    /// Rows of the sequence.
    private(set) var rowCount = 0
    /// `tallies` for each feature of a shape: how many shapes of its kind have begun up to here, in the order of the
    /// features. A causal decoder can know that, and an answer that looks at the last of what it counts finds the number.
    private(set) var counts: [Int] = []
    /// Of a feature of a shape, whether the shape begins there, in the order of the features: 1 or 0. What is counted is
    /// these.
    private(set) var begins: [Int] = []
    /// The last token of the name that each feature shows, as a text says it behind a space. Where features of the picture
    /// speak in the text's own tokens, what a question names is found by likeness, whatever it is.
    private(set) var names: [Int] = []
    /// `margins` for each feature of a line.
    private(set) var written: [Int] = []
    /// Features that belong to something, by number.
    private(set) var foreground: [Int] = []
    /// Features that belong to nothing and are told so: a quarter of them.
    private(set) var background: [Int] = []

    var count: Int { kinds.count }

    /// - Parameters:
    ///   - pictures: the regions of each item of `sequence`.
    ///   - answers: what each answer speaks of; `tokenizer` tells which token holds what.
    /// - Returns: nil where the features of an item stand for no places of their own, as those of a resampler.
    init?(
        _ sequence: ProcessedSequence, pictures: [[PictureRegion]], answers: [AnswerPlaces] = [],
        tokenizer: Tokenizer? = nil
    ) {
        var owned: [Int: [Int]] = [:]
        for (number, (item, regions)) in zip(sequence.items, pictures).enumerated() {
            guard let cells = item.featurePlaces else { return nil }
            var seen: Set<Int> = []
            let tokens = regions.map { region in
                region.name.flatMap { name in (try? tokenizer?.encode(" " + name))?.last.map(Int.init) }
            }
            for cell in cells {
                let owner = add(cell, regions)
                begins.append(
                    owner.map { !regions[$0].isShape ? Self.untold : seen.contains($0) ? 0 : 1 } ?? Self.untold)
                names.append(owner.flatMap { tokens[$0] } ?? Self.untold)
                counts += tally(owner, regions, &seen)
                if let owner, number == 0 { owned[owner, default: []].append(count - 1) }
            }
        }
        guard kinds.count == sequence.items.reduce(0, { $0 + $1.featureCount }) else { return nil }
        rowCount = sequence.rows.count
        guard let regions = pictures.first else { return }
        var questionStart = 0
        for (span, answer) in zip(sequence.answerSpans, answers) {
            defer { questionStart = span.upperBound }
            if let tokenizer {
                // Where the question names a thing, it can be found before all of the question is read.
                for (name, thing) in zip(answer.names, answer.things) {
                    guard let row = sequence.lastRow(of: name, in: questionStart..<span.lowerBound, tokenizer) else {
                        continue
                    }
                    look(at: [thing], from: row + 1..<row + 2, owned, regions)
                }
            }
            if let tokenizer, !answer.reads.isEmpty, let cells = sequence.items.first?.featurePlaces {
                look(where: answer.reads.map { regions[$0] }, sequence, span, tokenizer, cells)
            }
            // The last token of a span ends the turn.
            let rows = span.dropLast()
            look(at: answer.things, from: rows, owned, regions)
            if let tokenizer, !answer.lists.isEmpty {
                var part = 0
                for row in rows where part < answer.lists.count {
                    look(at: [answer.lists[part]], from: row..<row + 1, owned, regions)
                    // A token that parts two things predicts the beginning of the next.
                    if let mark = AnswerPlaces.listSeparator.utf8.first,
                        tokenizer.bytes(of: sequence.rows[row].id)?.contains(mark) ?? false
                    {
                        part += 1
                    }
                }
            }
        }
    }

    /// The tokens that predict `rows` look at the features of the things.
    private mutating func look(
        at things: [[Int]], from rows: Range<Int>, _ owned: [Int: [Int]], _ regions: [PictureRegion]
    ) {
        let features = things.map { thing in
            let all = thing.flatMap { owned[$0] ?? [] }
            // Of several shapes at those that come once the last has begun: there the count is whole.
            guard thing.count > 1, thing.allSatisfy({ regions[$0].isShape }),
                let last = thing.compactMap({ owned[$0]?.first }).max()
            else { return all }
            return all.filter { $0 >= last }
        }
        if features.isEmpty || features.contains(where: \.isEmpty) { return }
        func told(_ place: (PictureRegion, Int) -> [Int]) -> [[Int]] {
            zip(things, features).map { thing, features in
                thing.count == 1 ? place(regions[thing[0]], features[0]) : Array(repeating: Self.untold, count: 4)
            }
        }
        let places = told { Array(self.places[$1 * 4..<$1 * 4 + 4]) }
        let parts = told { region, _ in
            [region.box.x, region.box.y, region.box.maxX, region.box.maxY].map {
                max(0, min(Self.steps - 1, Int($0 * Double(Self.steps))))
            }
        }
        let values = things.map { thing in
            let all = Set(thing.compactMap { Self.told(regions[$0].value) })
            return all.count == 1 ? all.first ?? Self.untold : Self.untold
        }
        var look = Look(row: 0, features: features, places: places, parts: parts, values: values)
        if things.count == 2 { look.order = order(things, values, regions) }
        for row in rows {
            look.row = row - 1
            looks.append(look)
        }
    }

    /// Which of two things lies further right, further down, and is worth more.
    private func order(_ things: [[Int]], _ values: [Int], _ regions: [PictureRegion]) -> [Int] {
        func told(_ lead: Double, _ clearance: Double) -> Int {
            abs(lead) < clearance ? Self.untold : lead > 0 ? 1 : 0
        }
        let middles = things.compactMap { $0.count == 1 ? regions[$0[0]].box.center : nil }
        let places =
            middles.count == 2
            ? [middles[0].x - middles[1].x, middles[0].y - middles[1].y].map { told($0, Self.clearance) }
            : [Self.untold, Self.untold]
        let areWorth = !values.contains(Self.untold)
        return places + [areWorth ? told(Double(values[0] - values[1]), 0.5) : Self.untold]
    }

    private static func told(_ value: Int?) -> Int? {
        value.flatMap { (0..<RegionClasses.values).contains($0) ? $0 : nil }
    }

    /// What has been counted at a feature of region `owner`, which then is among the `seen`.
    private func tally(_ owner: Int?, _ regions: [PictureRegion], _ seen: inout Set<Int>) -> [Int] {
        guard let owner, regions[owner].isShape else { return Array(repeating: Self.untold, count: Self.tallies) }
        seen.insert(owner)
        let own = regions[owner]
        func count(_ isCounted: (PictureRegion) -> Bool) -> Int {
            min(Self.mostCounted, seen.count { isCounted(regions[$0]) })
        }
        return [
            count { $0.kind == own.kind }, count { $0.color == own.color },
            count { $0.kind == own.kind && $0.color == own.color }, count { _ in true },
        ]
    }

    /// Each token of an answer that repeats what is written looks at the features that hold its characters.
    private mutating func look(
        where lines: [PictureRegion], _ sequence: ProcessedSequence, _ span: Range<Int>, _ tokenizer: Tokenizer,
        _ cells: [Rectangle]
    ) {
        let middles = lines.flatMap { line in line.characters.map(\.middle) }
        // Each line is counted by itself.
        let numbers = lines.flatMap { line in line.characters.indices }
        var next = 0
        // The last token of a span ends the turn.
        for row in span.dropLast() {
            let text = String(decoding: tokenizer.bytes(of: sequence.rows[row].id) ?? [], as: UTF8.self)
            let seen = middles[next...].prefix(text.count { !$0.isWhitespace })
            let number = numbers[next...].first
            next += seen.count
            let features = cells.indices.filter { cell in
                seen.contains {
                    (cells[cell].x..<cells[cell].maxX).contains($0.x)
                        && (cells[cell].y..<cells[cell].maxY).contains($0.y)
                }
            }
            if features.isEmpty { continue }
            let nowhere = [Array(repeating: Self.untold, count: 4)]
            looks.append(
                Look(
                    row: row - 1, features: [features], places: nowhere, parts: nowhere, values: [Self.untold],
                    written: number.map { min($0, Self.mostWritten) } ?? Self.untold))
        }
    }

    /// - Returns: the region that the cell belongs to.
    private mutating func add(_ cell: Rectangle, _ regions: [PictureRegion]) -> Int? {
        let number = kinds.count
        // The region that fills most of the cell; one that only touches it is left to its neighbours.
        var best: (number: Int, region: PictureRegion, shared: Double)?
        for (index, region) in regions.enumerated() {
            let wide = min(cell.maxX, region.box.maxX) - max(cell.x, region.box.x)
            let high = min(cell.maxY, region.box.maxY) - max(cell.y, region.box.y)
            guard wide > 0, high > 0, wide * high > (best?.shared ?? 0) else { continue }
            best = (index, region, wide * high)
        }
        let line = line(in: cell, regions)
        characters += line.map { writing(in: cell, $0) } ?? Array(repeating: Self.untold, count: Self.slots)
        written += line.map { margins(of: cell, $0) } ?? Array(repeating: Self.untold, count: Self.margins)
        guard let best, best.shared > 0.15 * min(cell.area, best.region.box.area) else {
            let isTold = best == nil && (number + number / 7) % 4 == 0
            kinds.append(isTold ? 0 : Self.untold)
            colors.append(isTold ? 0 : Self.untold)
            values.append(Self.untold)
            edges += [0, 0, 0, 0]
            places += Array(repeating: Self.untold, count: 4)
            if isTold { background.append(number) }
            return nil
        }
        let region = best.region
        kinds.append(region.kind)
        colors.append(region.color ?? Self.untold)
        values.append(Self.told(region.value) ?? Self.untold)
        let (box, middle) = (region.box, cell.center)
        edges += [
            (box.x - middle.x) / cell.width, (box.y - middle.y) / cell.height, (box.maxX - middle.x) / cell.width,
            (box.maxY - middle.y) / cell.height,
        ].map { Float(max(-Self.reach, min(Self.reach, $0))) }
        places += [box.x / cell.width, box.y / cell.height, box.maxX / cell.width, box.maxY / cell.height]
            .map { max(0, min(Self.steps - 1, Int($0 * Self.stepsPerFeature))) }
        foreground.append(number)
        return best.number
    }

    /// The line that runs nearest to the cell's own middle; nil where none does.
    private func line(in cell: Rectangle, _ regions: [PictureRegion]) -> PictureRegion? {
        let lines = regions.filter { region in
            !region.characters.isEmpty && (cell.y..<cell.maxY).contains(region.box.center.y)
                && region.box.maxX > cell.x && region.box.x < cell.maxX
        }
        let middle = cell.center.y
        return lines.min { abs($0.box.center.y - middle) < abs($1.box.center.y - middle) }
    }

    /// The characters of a line whose middle lies in the cell.
    private func writing(in cell: Rectangle, _ line: PictureRegion) -> [Int] {
        let inside = line.characters.filter { (cell.x..<cell.maxX).contains($0.middle.x) }.map(\.code)
        return Array((inside + Array(repeating: 0, count: Self.slots)).prefix(Self.slots))
    }

    /// How many characters of the line come before the cell, and how many lines above.
    private func margins(of cell: Rectangle, _ line: PictureRegion) -> [Int] {
        let before = line.characters.count { $0.middle.x < cell.x }
        return [min(before, Self.mostWritten), line.line.map { min($0, Self.mostWritten) } ?? Self.untold]
    }
}

extension ProcessedSequence {
    /// The row of the token that ends a name where it is said last, as a word by itself; nil where it is not.
    func lastRow(of name: String, in rows: Range<Int>, _ tokenizer: Tokenizer) -> Int? {
        var bytes: [UInt8] = [], owners: [Int] = []
        for row in rows where self.rows[row].item < 0 {
            for byte in tokenizer.bytes(of: self.rows[row].id) ?? [0] {
                bytes.append(byte)
                owners.append(row)
            }
        }
        let wanted = Array(name.utf8)
        guard !wanted.isEmpty, bytes.count >= wanted.count else { return nil }
        func isLetter(_ index: Int) -> Bool {
            bytes.indices.contains(index)
                && [0x30...0x39, 0x41...0x5A, 0x61...0x7A].contains { $0.contains(bytes[index]) }
        }
        for start in (0...bytes.count - wanted.count).reversed() where bytes[start...].starts(with: wanted) {
            if !isLetter(start - 1), !isLetter(start + wanted.count) { return owners[start + wanted.count - 1] }
        }
        return nil
    }
}

extension VisualItem {
    /// The part of the picture that each feature stands for, in parts of its sides; nil where there is no such part.
    fileprivate var featurePlaces: [Rectangle]? {
        func grid(_ columns: Int, _ rows: Int, in frame: Rectangle) -> [Rectangle] {
            let (width, height) = (frame.width / Double(columns), frame.height / Double(rows))
            return (0..<rows * columns).map { place in
                Rectangle(
                    x: frame.x + Double(place % columns) * width, y: frame.y + Double(place / columns) * height,
                    width: width, height: height)
            }
        }
        let whole = Rectangle(x: 0, y: 0, width: 1, height: 1)
        switch layout {
        case .patches(let patches):
            let merge = Int((Double(patches.count) / Double(max(featureCount, 1))).squareRoot().rounded())
            guard patches.time == 1, merge > 0, patches.width % merge == 0, patches.height % merge == 0,
                patches.count == featureCount * merge * merge
            else { return nil }
            return grid(patches.width / merge, patches.height / merge, in: whole)
        case .tiles(let tiles):
            let side = Int(Double(featuresPerTile).squareRoot().rounded())
            guard side > 0, side * side == featuresPerTile else { return nil }
            return grid(tiles.columns, tiles.rows, in: whole).flatMap { grid(side, side, in: $0) }
                + (tiles.hasThumbnail ? grid(side, side, in: whole) : [])
        }
    }
}
