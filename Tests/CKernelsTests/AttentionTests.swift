import CKernels
import Foundation
import Testing

extension KernelTests {
    @Suite struct Attention {
        /// One problem with its arrays; keys and values share rows with a gap between heads, as fused projections give.
        struct Problem {
            let queryLengths: [Int], keyLengths: [Int]
            let heads: Int, keyValueHeads: Int, headSize: Int
            let causal: Bool, scale: Float
            let query: Halves, keyValue: Halves
            let queryOffsets: [Int64], keyOffsets: [Int64]

            init(
                queries: [Int], keys: [Int], heads: Int, keyValueHeads: Int, headSize: Int, causal: Bool, scale: Float,
                _ random: inout Random
            ) {
                (queryLengths, keyLengths) = (queries, keys)
                (self.heads, self.keyValueHeads, self.headSize) = (heads, keyValueHeads, headSize)
                (self.causal, self.scale) = (causal, scale)
                query = .normal(queries.reduce(0, +) * heads * headSize, &random, atStart: true)
                keyValue = .normal(keys.reduce(0, +) * 2 * keyValueHeads * headSize, &random)
                queryOffsets = queries.reduce(into: [0]) { $0.append($0[$0.count - 1] + Int64($1)) }
                keyOffsets = keys.reduce(into: [0]) { $0.append($0[$0.count - 1] + Int64($1)) }
            }

            /// Index of the first element of a key, or of a value.
            func key(_ token: Int, _ head: Int, value: Bool) -> Int {
                ((token * 2 + (value ? 1 : 0)) * keyValueHeads + head) * headSize
            }

            func run(shares: Bool, decode: Bool = false, logSumExp: Singles? = nil, _ random: inout Random) -> [UInt16]
            {
                let output = Halves.untouched(query.count)
                queryOffsets.withUnsafeBufferPointer { queryOffsets in
                    keyOffsets.withUnsafeBufferPointer { keyOffsets in
                        var attention = ck_attention()
                        attention.query = UnsafePointer(query.pointer)
                        attention.key = UnsafePointer(keyValue.pointer)
                        attention.value = UnsafePointer(keyValue.pointer + keyValueHeads * headSize)
                        attention.output = output.pointer
                        attention.logSumExp = logSumExp?.pointer
                        attention.queryTokenStride = heads * headSize
                        attention.queryHeadStride = headSize
                        attention.keyTokenStride = 2 * keyValueHeads * headSize
                        attention.keyHeadStride = headSize
                        attention.valueTokenStride = 2 * keyValueHeads * headSize
                        attention.valueHeadStride = headSize
                        attention.outputTokenStride = heads * headSize
                        attention.outputHeadStride = headSize
                        attention.queryOffsets = queryOffsets.baseAddress
                        attention.keyOffsets = keyOffsets.baseAddress
                        attention.segments = queryLengths.count
                        attention.heads = heads
                        attention.keyValueHeads = keyValueHeads
                        attention.headSize = headSize
                        attention.scale = scale
                        attention.causal = causal
                        if decode {
                            let size = ck_decode_attention_workspace(&attention)
                            let workspace = Guarded([UInt8](repeating: 0xAB, count: size))
                            ck_decode_attention_prepare(&attention, workspace.pointer)
                            let items = ck_decode_attention_count(&attention)
                            for share in shares ? cuts(items, &random).shuffled(using: &random) : [0..<items] {
                                ck_decode_attention_run(
                                    &attention, workspace.pointer, share.lowerBound, share.upperBound)
                            }
                            return
                        }
                        let workspace = Guarded([UInt8](repeating: 0xAB, count: ck_attention_workspace(&attention)))
                        let packs = ck_attention_pack_count(&attention), items = ck_attention_count(&attention)
                        for share in shares ? cuts(packs, &random).shuffled(using: &random) : [0..<packs] {
                            ck_attention_pack(&attention, workspace.pointer, share.lowerBound, share.upperBound)
                        }
                        for share in shares ? cuts(items, &random).shuffled(using: &random) : [0..<items] {
                            ck_attention_run(&attention, workspace.pointer, share.lowerBound, share.upperBound)
                        }
                    }
                }
                return output.elements
            }

            /// The definition, in fp64: for each output the exact value and the sum of weight · |value|.
            func exact() -> [(value: Double, size: Double)] {
                var results: [(value: Double, size: Double)] = []
                for segment in queryLengths.indices {
                    for i in 0..<queryLengths[segment] {
                        let seen =
                            causal
                            ? max(0, i + 1 + keyLengths[segment] - queryLengths[segment]) : keyLengths[segment]
                        for head in 0..<heads {
                            let q = ((Int(queryOffsets[segment]) + i) * heads + head) * headSize
                            let keyHead = head / (heads / keyValueHeads)
                            let scores = (0..<seen).map { j in
                                let k = key(Int(keyOffsets[segment]) + j, keyHead, value: false)
                                var sum = 0.0
                                for d in 0..<headSize {
                                    sum += Double(float(query[q + d])) * Double(float(keyValue[k + d]))
                                }
                                return sum * Double(scale)
                            }
                            let highest = scores.max() ?? 0
                            let weights = scores.map { exp($0 - highest) }
                            let total = weights.reduce(0, +)
                            for d in 0..<headSize {
                                var value = 0.0, size = 0.0
                                for j in 0..<seen {
                                    let v = key(Int(keyOffsets[segment]) + j, keyHead, value: true) + d
                                    value += weights[j] * Double(float(keyValue[v]))
                                    size += weights[j] * abs(Double(float(keyValue[v])))
                                }
                                results.append(seen == 0 ? (0, 0) : (value / total, size / total))
                            }
                        }
                    }
                }
                return results
            }
        }

        @Test func againstTheDefinition() throws {
            var random = Random(11)
            let lengths = [1, 2, 5, 6, 7, 15, 16, 17, 31, 33, 63, 64, 65, 96, 97, 130]
            for trial in 0..<48 {
                let segments = trial % 4 == 0 ? 4 : 1
                let queries = (0..<segments).map { _ in lengths.randomElement(using: &random) ?? 1 }
                let causal = trial % 2 == 0
                let keys = queries.map { trial % 3 == 0 ? $0 : $0 + (lengths.randomElement(using: &random) ?? 1) }
                let keyValueHeads = trial % 5 == 0 ? 2 : 1
                let problem = Problem(
                    queries: queries, keys: keys, heads: keyValueHeads * Int.random(in: 1...3, using: &random),
                    keyValueHeads: keyValueHeads,
                    headSize: try #require(
                        [2, 6, 30, 32, 34, 64, 72, 80, 104, 112, 128, 256].randomElement(using: &random)),
                    causal: causal, scale: trial % 7 == 0 ? 1 : 0.125, &random)
                let exact = problem.exact()
                atEveryLevel { level in
                    let output = problem.run(shares: true, &random)
                    #expect(output == problem.run(shares: false, &random), "\(level): a share changed a bit")
                    for (bits, wanted) in zip(output, exact) {
                        let error = abs(Double(float(bits)) - wanted.value)
                        // Weights and result are each rounded to bf16.
                        #expect(error <= wanted.size * (1.0 / 256 + 1.0 / 256 + 1e-4), "\(level) \(queries) \(keys)")
                    }
                }
            }
        }

        /// More keys than one block, so that sums are corrected between blocks.
        @Test func longSegments() {
            var random = Random(12)
            for (queries, keys, causal) in [(3, 1500, false), (700, 1100, true), (20, 513, true), (97, 1024, true)] {
                let problem = Problem(
                    queries: [queries], keys: [keys], heads: 2, keyValueHeads: 1, headSize: 16, causal: causal,
                    scale: 0.5,
                    &random)
                let exact = problem.exact()
                atEveryLevel { level in
                    for (bits, wanted) in zip(problem.run(shares: true, &random), exact) {
                        let error = abs(Double(float(bits)) - wanted.value)
                        #expect(error <= wanted.size * (1.0 / 256 + 1.0 / 256 + 1e-4), "\(level) \(queries) \(keys)")
                    }
                }
            }
        }

        /// Few queries: the functions that read the cache once, where they exist.
        @Test(.enabled(if: levels.contains(CK_LEVEL_AVX512_BF16))) func decoding() throws {
            var random = Random(17)
            for trial in 0..<60 {
                let segments = trial % 4 == 0 ? 3 : 1
                let queries = (0..<segments).map { _ in trial % 3 == 0 ? Int.random(in: 1...8, using: &random) : 1 }
                let keys = queries.map { query in
                    query + ([0, 1, 2, 15, 16, 126, 127, 128, 129, 300, 513].randomElement(using: &random) ?? 0)
                }
                let keyValueHeads = Int.random(in: 1...3, using: &random), group = Int.random(in: 1...5, using: &random)
                let problem = Problem(
                    queries: queries, keys: keys, heads: keyValueHeads * group, keyValueHeads: keyValueHeads,
                    headSize: try #require([2, 7, 32, 34, 64, 80, 104, 128, 256].randomElement(using: &random)),
                    causal: trial % 2 == 0, scale: trial % 7 == 0 ? 1 : 0.125, &random)
                let sums = Singles.untouched(queries.reduce(0, +) * problem.heads)
                let output = problem.run(shares: true, decode: true, logSumExp: sums, &random)
                #expect(output == problem.run(shares: false, decode: true, &random), "a share changed a bit")
                for (bits, wanted) in zip(output, problem.exact()) {
                    let error = abs(Double(float(bits)) - wanted.value)
                    #expect(error <= wanted.size * (1.0 / 256 + 1.0 / 256 + 1e-4), "\(queries) \(keys)")
                }
                if problem.headSize % 2 == 0 {
                    let others = Singles.untouched(sums.count)
                    _ = problem.run(shares: false, logSumExp: others, &random)
                    for (one, other) in zip(sums.elements, others.elements) { #expect(abs(one - other) < 1e-4) }
                }
            }
        }

        @Test(.enabled(if: levels.contains(CK_LEVEL_AVX512_BF16))) func decodingPassesNotANumber() {
            var random = Random(18)
            let problem = Problem(
                queries: [1, 1], keys: [300, 40], heads: 4, keyValueHeads: 2, headSize: 32, causal: true, scale: 0.2,
                &random)
            problem.keyValue[problem.key(140, 1, value: false) + 3] = bfloat16(.nan)
            let output = problem.run(shares: false, decode: true, &random)
            for row in 0..<8 {
                let poisoned = row == 2 || row == 3
                #expect(output[(row * 32)..<(row * 32 + 32)].allSatisfy { float($0).isNaN == poisoned }, "row \(row)")
            }
        }

        @Test func queriesThatSeeNothingGetZeros() {
            var random = Random(13)
            let problem = Problem(
                queries: [9, 0, 3], keys: [4, 2, 0], heads: 1, keyValueHeads: 1, headSize: 8, causal: true, scale: 1,
                &random)
            if levels.contains(CK_LEVEL_AVX512_BF16) {
                let one = problem.run(shares: false, &random), other = problem.run(shares: false, decode: true, &random)
                for (a, b) in zip(one, other) { #expect(abs(float(a) - float(b)) < 0.02) }
            }
            atEveryLevel { level in
                let output = problem.run(shares: false, &random)
                #expect(output[..<(5 * 8)].allSatisfy { $0 == 0 }, "\(level)")
                #expect(output[(5 * 8)..<(9 * 8)].contains { $0 != 0 }, "\(level)")
                #expect(output[(9 * 8)...].allSatisfy { $0 == 0 }, "\(level)")
            }
        }

        /// A later key that is not a number must not reach earlier queries, nor other segments.
        @Test func notANumberStaysWhereItIsSeen() {
            var random = Random(14)
            let problem = Problem(
                queries: [40, 20], keys: [40, 20], heads: 2, keyValueHeads: 1, headSize: 32, causal: true, scale: 0.2,
                &random)
            problem.keyValue[problem.key(30, 0, value: false) + 3] = bfloat16(.nan)
            atEveryLevel { level in
                let output = problem.run(shares: false, &random)
                for token in 0..<60 {
                    let row = output[(token * 64)..<((token + 1) * 64)]
                    let poisoned = (30..<40).contains(token)
                    #expect(row.allSatisfy { float($0).isNaN == poisoned }, "\(level), token \(token)")
                }
            }
        }

        @Test func logarithmsOfSums() {
            var random = Random(16)
            let problem = Problem(
                queries: [30], keys: [600], heads: 2, keyValueHeads: 1, headSize: 8, causal: true, scale: 0.7, &random)
            atEveryLevel { level in
                let sums = Singles.untouched(30 * 2)
                _ = problem.run(shares: false, logSumExp: sums, &random)
                for i in 0..<30 {
                    for head in 0..<2 {
                        var total = 0.0
                        for j in 0..<571 + i {
                            var score = 0.0
                            for d in 0..<8 {
                                let key = problem.keyValue[problem.key(j, 0, value: false) + d]
                                score += Double(float(problem.query[(i * 2 + head) * 8 + d])) * Double(float(key))
                            }
                            total += exp(score * 0.7)
                        }
                        #expect(abs(Double(sums[i * 2 + head]) - log(total)) < 1e-4, "\(level)")
                    }
                }
            }
        }

        /// Scores far apart: the largest takes all, and nothing overflows.
        @Test func extremeScores() {
            var random = Random(15)
            let problem = Problem(
                queries: [20], keys: [600], heads: 1, keyValueHeads: 1, headSize: 64, causal: false, scale: 40, &random)
            let exact = problem.exact()
            atEveryLevel { level in
                for (bits, wanted) in zip(problem.run(shares: false, &random), exact) {
                    let error = abs(Double(float(bits)) - wanted.value)
                    // Scores of some thousands keep about 2e-4 of absolute precision in fp32.
                    #expect(error <= wanted.size * 0.01, "\(level)")
                }
            }
        }
    }
}
