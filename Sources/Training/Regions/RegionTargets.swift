internal import Foundation
internal import Media
internal import Models

/// What the features of a sequence's pictures should tell about the places that they stand for; one entry a feature, in
/// the order of the vision part. Entries that are not told are -100.
struct RegionTargets: Sendable {
    static let untold = -100
    /// Characters that one feature may tell, from left to right.
    static let slots = 4
    /// Steps that a side of the picture is divided into, to tell a box by classes.
    static let steps = 100
    /// The furthest edge that a feature tells, in its own sides.
    private static let reach = 6.0

    private(set) var kinds: [Int] = []
    private(set) var colors: [Int] = []
    private(set) var values: [Int] = []
    /// `slots` for each feature.
    private(set) var characters: [Int] = []
    /// Left, top, right and bottom edge of what the feature belongs to, from the feature's middle and in its own sides.
    private(set) var edges: [Float] = []
    /// The same edges as places in the picture, in `steps`.
    private(set) var places: [Int] = []
    /// Features that belong to something, by number.
    private(set) var foreground: [Int] = []
    /// Features that belong to nothing and are told so: a quarter of them.
    private(set) var background: [Int] = []

    var count: Int { kinds.count }

    /// - Parameter pictures: the regions of each item of `sequence`.
    /// - Returns: nil where the features of an item stand for no places of their own, as those of a resampler.
    init?(_ sequence: ProcessedSequence, pictures: [[PictureRegion]]) {
        for (item, regions) in zip(sequence.items, pictures) {
            guard let cells = item.featurePlaces else { return nil }
            for cell in cells { add(cell, regions) }
        }
        guard kinds.count == sequence.items.reduce(0, { $0 + $1.featureCount }) else { return nil }
    }

    private mutating func add(_ cell: Rectangle, _ regions: [PictureRegion]) {
        let number = kinds.count
        // The region that fills most of the cell; one that only touches it is left to its neighbours.
        var best: (region: PictureRegion, shared: Double)?
        for region in regions {
            let wide = min(cell.maxX, region.box.maxX) - max(cell.x, region.box.x)
            let high = min(cell.maxY, region.box.maxY) - max(cell.y, region.box.y)
            guard wide > 0, high > 0, wide * high > (best?.shared ?? 0) else { continue }
            best = (region, wide * high)
        }
        let slots = writing(in: cell, regions)
        characters += slots ?? Array(repeating: Self.untold, count: Self.slots)
        guard let best, best.shared > 0.15 * min(cell.area, best.region.box.area) else {
            let isTold = best == nil && (number + number / 7) % 4 == 0
            kinds.append(isTold ? 0 : Self.untold)
            colors.append(isTold ? 0 : Self.untold)
            values.append(Self.untold)
            edges += [0, 0, 0, 0]
            places += Array(repeating: Self.untold, count: 4)
            if isTold { background.append(number) }
            return
        }
        let region = best.region
        kinds.append(region.kind)
        colors.append(region.color ?? Self.untold)
        values.append(region.value.flatMap { (0..<RegionClasses.values).contains($0) ? $0 : nil } ?? Self.untold)
        let (box, middle) = (region.box, cell.center)
        edges += [
            (box.x - middle.x) / cell.width, (box.y - middle.y) / cell.height, (box.maxX - middle.x) / cell.width,
            (box.maxY - middle.y) / cell.height,
        ].map { Float(max(-Self.reach, min(Self.reach, $0))) }
        places += [box.x, box.y, box.maxX, box.maxY].map { max(0, min(Self.steps - 1, Int($0 * Double(Self.steps)))) }
        foreground.append(number)
    }

    /// The characters whose middle lies in the cell, of the line that runs nearest to the cell's own middle; nil where
    /// no line does.
    private func writing(in cell: Rectangle, _ regions: [PictureRegion]) -> [Int]? {
        let lines = regions.filter { region in
            !region.characters.isEmpty && (cell.y..<cell.maxY).contains(region.box.center.y)
                && region.box.maxX > cell.x && region.box.x < cell.maxX
        }
        let middle = cell.center.y
        guard
            let line = lines.min(by: { abs($0.box.center.y - middle) < abs($1.box.center.y - middle) })
        else { return nil }
        let inside = line.characters.filter { (cell.x..<cell.maxX).contains($0.middle.x) }.map(\.code)
        return Array((inside + Array(repeating: 0, count: Self.slots)).prefix(Self.slots))
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
