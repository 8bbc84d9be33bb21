public import Foundation

extension ProcessGroup {
    /// The numbers of every rank, which must be as many on each.
    public func gathered(
        _ values: [Double], for name: String = "exchange of numbers", timeout: Duration? = nil
    ) throws -> [[Double]] {
        guard size > 1, !values.isEmpty else { return [values] }
        let all = try Tensor.empty([size, values.count], dtype: .float64)
        try allGather(Tensor(values), into: all, for: name, timeout: timeout)
        let flat: [Double] = try all.values()
        return (0..<size).map { Array(flat[$0 * values.count..<($0 + 1) * values.count]) }
    }

    /// Runs `body` on rank 0 alone and gives what it gave to all. Where it throws, the others throw too.
    public func fromMain(_ name: String, timeout: Duration? = nil, _ body: () throws -> Data) throws -> Data {
        guard size > 1 else { return try body() }
        let result = isMain ? Result(catching: body) : nil
        var data = Data()
        var isGood = true
        switch result {
        case .success(let made): data = made
        case .failure(let error): (data, isGood) = (Data("\(error)".utf8), false)
        case nil: break
        }
        let header = try Tensor([Int64(isGood ? 1 : 0), Int64(data.count)])
        try broadcast(header, for: name, timeout: timeout)
        let numbers: [Int64] = try header.values()
        if numbers[1] > 0 {
            let bytes =
                isMain
                ? try data.withUnsafeBytes { try Tensor.copying($0, shape: [data.count], dtype: .uint8) }
                : try Tensor.empty([Int(numbers[1])], dtype: .uint8)
            try broadcast(bytes, for: name, timeout: timeout)
            if !isMain { data = try bytes.bytes() }
        }
        if let result { return try result.get() }
        if numbers[0] == 0 {
            throw ProcessGroupError.peers(
                rank: rank, operation: name, failures: [0: "failed: \(String(decoding: data, as: UTF8.self))"])
        }
        return data
    }

    /// Sends `parcels[i]` to rank i, and gives what each rank sent to this one.
    public func exchange(
        _ parcels: [Data], for name: String = "exchange of data", timeout: Duration? = nil
    ) throws -> [Data] {
        precondition(parcels.count == size, "a parcel for each rank")
        guard size > 1 else { return parcels }
        let counts = parcels.map(\.count)
        let all = try gathered(counts.map(Double.init), for: name, timeout: timeout)
        guard all.joined().contains(where: { $0 > 0 }) else { return parcels }
        let received = all.map { Int($0[rank]) }
        let joined = parcels.reduce(into: Data(capacity: counts.reduce(0, +))) { $0.append($1) }
        let input = try joined.withUnsafeBytes { try Tensor.copying($0, shape: [joined.count], dtype: .uint8) }
        let output = try Tensor.empty([received.reduce(0, +)], dtype: .uint8)
        try allToAll(input, sent: counts, into: output, received: received, for: name, timeout: timeout)
        let bytes = try output.bytes()
        var start = bytes.startIndex
        return received.map { count in
            defer { start += count }
            return bytes.subdata(in: start..<start + count)
        }
    }
}
