public import NN
public import Torch

/// What turns a tower's features into vectors of the decoder's width.
public protocol Connector: AnyObject {
    /// What a tower gives becomes `[features, decoder's hidden size]`, picture after picture.
    func callAsFunction(_ features: Tensor) throws -> Tensor
    /// The same, for connectors with intermediate results that somebody may look at.
    func callAsFunction(_ features: Tensor, _ context: ForwardContext) throws -> Tensor
}

extension Connector {
    public func callAsFunction(_ features: Tensor, _ context: ForwardContext) throws -> Tensor { try self(features) }
}

/// The numbers of a connector: one value of the design's axis.
public protocol ConnectorConfiguration: Sendable {
    func makeConnector(_ scope: ParameterScope) throws -> any Connector
    /// What it does in a few words.
    var summary: String { get }
}
