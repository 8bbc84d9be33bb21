import Goldens
import Models
import NN
import Torch

/// Honeybee's C-Abstractor.
struct CAbstractorModule: GoldenModule {
    private let connector: CAbstractor

    static func matches(_ reader: ConfigurationReader) -> Bool { reader.value("projector_type") == .string("c-abs") }

    init(_ reader: ConfigurationReader, _ store: ParameterStore) throws {
        connector = try CAbstractor(.init(reader), store.root)
    }

    func run(_ golden: GoldenCase) throws -> [String: Tensor] {
        let x = try golden.input(), side = Int(Double(x.size(1)).squareRoot().rounded())
        return ["\(golden.name).out": try connector(x, height: side, width: side)]
    }
}

/// Average pooling and an MLP.
struct AveragePoolModule: GoldenModule {
    private let connector: AveragePool

    static func matches(_ reader: ConfigurationReader) -> Bool { reader.has("in_dim") && reader.has("grid") }

    init(_ reader: ConfigurationReader, _ store: ParameterStore) throws {
        connector = try AveragePool(
            side: reader.integer("grid"), inputSize: reader.integer("in_dim"), outputSize: reader.integer("out_dim"),
            store.root)
    }

    func run(_ golden: GoldenCase) throws -> [String: Tensor] {
        let x = try golden.input(), height = try golden.integer("h"), width = try golden.integer("w")
        return [
            "\(golden.name).pooled": try connector.pooled(x, height: height, width: width),
            "\(golden.name).out": try connector(x, height: height, width: width),
        ]
    }
}

/// open_clip's attention pooling.
struct AttentionPoolModule: GoldenModule {
    private let connector: AttentionPool

    static func matches(_ reader: ConfigurationReader) -> Bool { reader.has("context_dim") && reader.has("n_queries") }

    init(_ reader: ConfigurationReader, _ store: ParameterStore) throws {
        connector = try AttentionPool(
            inputSize: reader.integer("context_dim"), outputSize: reader.integer("d_model"),
            heads: reader.integer("n_head"), queries: reader.integer("n_queries"), store.root)
    }

    func run(_ golden: GoldenCase) throws -> [String: Tensor] {
        let x = try golden.input(), pictures = x.size(0)
        let segments = Segments(lengths: [Int](repeating: x.size(1), count: pictures))
        let out = try connector(x.reshape([-1, x.size(2)]), segments)
        return ["\(golden.name).out": try out.view([pictures, connector.queries, -1])]
    }
}

/// open_flamingo's perceiver resampler, over `[batch, pictures, frames, features, size]`.
struct PerceiverModule: GoldenModule {
    private let connector: PerceiverResampler

    static func matches(_ reader: ConfigurationReader) -> Bool { reader.has("num_latents") }

    init(_ reader: ConfigurationReader, _ store: ParameterStore) throws {
        connector = try PerceiverResampler(.init(reader), store.root)
    }

    func run(_ golden: GoldenCase) throws -> [String: Tensor] {
        let x = try golden.input(), shape = x.shape, media = shape[0] * shape[1]
        let out = try connector(
            x.reshape([-1, shape[4]]), Segments(lengths: [Int](repeating: shape[2] * shape[3], count: media)),
            frames: [Int](repeating: shape[2], count: media), numbers: (0..<media).map { $0 % shape[1] })
        return ["\(golden.name).out": try out.view([shape[0], shape[1], -1, shape[4]])]
    }
}

/// Mixtral's mixture of experts with its losses.
struct MixtureModule: GoldenModule {
    private let mixture: MixtureOfExperts

    static func matches(_ reader: ConfigurationReader) -> Bool { reader.has("num_local_experts") }

    init(_ reader: ConfigurationReader, _ store: ParameterStore) throws {
        let experts = try reader.integer("num_local_experts", in: 1...4096)
        mixture = try MixtureOfExperts(
            .init(experts: experts, active: reader.integer("num_experts_per_tok", in: 1...experts)),
            hiddenSize: reader.integer("hidden_size"), feedForwardSize: reader.integer("intermediate_size"),
            activation: .silu, store.root)
    }

    func run(_ golden: GoldenCase) throws -> [String: Tensor] {
        let name = golden.name, (out, first) = try mixture.routed(golden.input())
        var results = [
            "\(name).out": out, "\(name).router_logits": first.logits, "\(name).topk_weights": first.weights,
            "\(name).topk_experts": first.experts, "\(name).z_loss": try Routing.routerLoss([first]),
            "\(name).aux_loss_one_layer": try Routing.balanceLoss([first]),
            "\(name).aux_loss_two_layers": try Routing.balanceLoss([first, mixture.routed(out).routing]),
        ]
        if let mask = golden.inputs["attention_mask"] {
            results["\(name).aux_loss_masked"] = try Routing.balanceLoss([first], counting: mask)
        }
        return results
    }
}
