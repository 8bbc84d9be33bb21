import Hashing
public import Safetensors

extension GoldenFolder {
    /// Compares a tensor, given as numbers, with the golden of this name.
    ///
    /// - Parameters:
    ///   - name: the golden's name.
    ///   - values: the elements in row-major order.
    ///   - shape: their shape, which must be the golden's.
    ///   - rule: in place of the golden's own, for instance where the model ran in a narrower type.
    /// - Throws: `GoldenError` where there is no such golden. A difference is no error: it stands in the report.
    public func compare(
        _ name: String, _ values: [Float], shape: [Int], rule: GoldenTensor.Rule? = nil
    ) throws -> GoldenReport {
        try compare(name, values.map { Double($0) }, shape: shape, rule: rule)
    }

    /// Compares a tensor, given as whole numbers, with the golden of this name.
    public func compare(_ name: String, _ values: [Int], shape: [Int]) throws -> GoldenReport {
        try compare(name, values.map { Double($0) }, shape: shape, rule: nil)
    }

    /// Compares a tensor, given as little-endian bytes, with the golden of this name. An exact golden of the same type
    /// wants the same bytes.
    public func compare(
        _ name: String, bytes: UnsafeRawBufferPointer, dtype: StoredDType, shape: [Int],
        rule: GoldenTensor.Rule? = nil
    ) throws -> GoldenReport {
        let golden = try tensor(name)
        var report = try compare(name, decodeElements(bytes, dtype, name: name), shape: shape, rule: rule)
        if report.holds, rule ?? golden.rule == .exact, dtype == golden.dtype, let digest = golden.sha256,
            sha256(bytes) != digest
        {
            report.faults.append("the values agree and the bytes do not (signs of zero, or NaN)")
        }
        return report
    }

    /// Compares a tensor's elements with the golden of this name.
    public func compare(
        _ name: String, _ values: [Double], shape: [Int], rule: GoldenTensor.Rule? = nil
    ) throws -> GoldenReport {
        let golden = try tensor(name)
        let rule = rule ?? golden.rule
        var report = GoldenReport(name: name)
        guard shape == golden.shape, values.count == golden.elementCount else {
            report.faults.append("shape \(shape) with \(values.count) elements, the golden has \(golden.shape)")
            return report
        }
        guard let step = golden.sampleStep else {
            report.compare(values, with: try doubles(name), rule: rule, part: "values") { unravel($0, shape) }
            return report
        }
        let sample = stride(from: 0, to: values.count, by: step).map { values[$0] }
        report.compare(sample, with: try doubles("\(name).sample"), rule: rule, part: "sample") {
            unravel($0 * step, shape)
        }
        compareWhole(&report, values, golden, rule)
        try compareRows(&report, name, values, shape, rule)
        return report
    }

    /// What each element's allowance implies for the whole: wrong elements between those of the sample show here.
    private func compareWhole(
        _ report: inout GoldenReport, _ values: [Double], _ golden: GoldenTensor, _ rule: GoldenTensor.Rule
    ) {
        guard let l2 = golden.l2, let sum = golden.sum, let peak = golden.absoluteMaximum else { return }
        guard case .close(let absolute, let relative) = rule else { return }
        let root = Double(values.count).squareRoot()
        // ‖a − b‖₂ ≤ √n·atol + rtol·‖b‖₂, and |Σa − Σb| ≤ √n·‖a − b‖₂.
        let distance = root * absolute + relative * l2
        let checks: [(String, Double, Double, Double)] = [
            ("sum", values.reduce(0, +), sum, root * distance),
            ("l2", values.reduce(0) { $0 + $1 * $1 }.squareRoot(), l2, distance),
            ("largest magnitude", values.reduce(0) { max($0, abs($1)) }, peak, absolute + relative * peak),
        ]
        // A hair for the rounding of the sums themselves.
        for (what, found, expected, allowed) in checks
        where !(abs(found - expected) <= allowed + 1e-9 * abs(expected)) {
            report.faults.append("\(what) is \(found) instead of \(expected), allowed \(allowed)")
        }
    }

    private func compareRows(
        _ report: inout GoldenReport, _ name: String, _ values: [Double], _ shape: [Int], _ rule: GoldenTensor.Rule
    ) throws {
        guard shape.count == 2, shape[0] > 0, shape[1] > 0, let file else { return }
        let (rows, columns) = (shape[0], shape[1])
        if file.entries["\(name).last_row"] != nil {
            report.compare(
                values.suffix(columns), with: try doubles("\(name).last_row"), rule: rule, part: "last row"
            ) { [rows - 1, $0] }
        }
        guard file.entries["\(name).argmax"] != nil else { return }
        let expected = try ints("\(name).argmax")
        guard expected.count == rows, expected.allSatisfy({ 0..<columns ~= $0 }) else {
            throw GoldenError(file: path, tensor: "\(name).argmax", fault: "not a column for each row")
        }
        for row in 0..<rows {
            let line = values[row * columns..<(row + 1) * columns]
            guard let best = line.max(), let first = line.firstIndex(of: best) else { continue }
            guard first - line.startIndex != expected[row] else { continue }
            // Two elements within tolerance of the golden may change places if they are this near.
            let gap = best - line[line.startIndex + expected[row]]
            if gap <= 2 * rule.allowance(at: best) {
                report.tiedRows += 1
            } else {
                report.faults.append(
                    "row \(row): largest at \(first - line.startIndex) instead of \(expected[row]), by \(gap)")
            }
        }
    }
}

/// The index in each dimension of a row-major tensor's element.
private func unravel(_ position: Int, _ shape: [Int]) -> [Int] {
    var rest = position
    return Array(
        shape.reversed().map { size in
            defer { rest /= max(size, 1) }
            return rest % max(size, 1)
        }.reversed())
}
