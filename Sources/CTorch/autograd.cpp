// Gradients: recording, backward, and nodes whose backward is a caller's function.
#include "include/ct_autograd.h"

#include <c10/core/AutogradState.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/variable.h>

#include "shim.h"

using namespace omma;
using torch::autograd::Variable;
using torch::autograd::variable_list;

namespace {

/// A node of the graph whose backward is a C function with a context.
struct CallbackNode final : torch::autograd::Node {
    void *context;
    ct_backward_function backward;
    void (*release)(void *);
    bool is_leaf;

    CallbackNode(void *context, ct_backward_function backward, void (*release)(void *), bool is_leaf)
        : context(context), backward(backward), release(release), is_leaf(is_leaf) {
        // The engine takes the ready node with the highest number. Nodes are numbered as they are made, so that one
        // made before all others would wait for all of them; accumulation into leaves has this number.
        if (is_leaf) set_sequence_nr(UINT64_MAX);
    }
    ~CallbackNode() override { forget(); }

    void forget() {
        if (context) release(context);
        context = nullptr;
    }

    /// What the caller keeps for its backward is of no use once that has run, and the graph lives to the pass's end.
    /// Leaves are a part of other graphs, too.
    void release_variables() override {
        if (!is_leaf) forget();
    }

    std::string name() const override { return "OmmaCustomFunction"; }

    variable_list apply(variable_list &&gradients) override {
        if (!context) throw std::runtime_error("this pass has gone back already; keep its graph to go back twice");
        std::vector<ct_tensor> given(gradients.size()), wanted(num_outputs(), nullptr);
        for (size_t i = 0; i < gradients.size(); i++) {
            given[i] = reinterpret_cast<ct_tensor>(
                gradients[i].defined() ? gradients[i].unsafeGetTensorImpl() : nullptr);
        }
        char *message = nullptr;
        const int32_t code = backward(
            context, given.data(), static_cast<int32_t>(given.size()), wanted.data(),
            static_cast<int32_t>(wanted.size()), &message);
        variable_list results(wanted.size());
        for (size_t i = 0; i < wanted.size(); i++) {
            if (wanted[i]) results[i] = at::Tensor(Pointer::reclaim(reinterpret_cast<c10::TensorImpl *>(wanted[i])));
        }
        if (code != 0) {
            const std::string text = message ? message : "a custom backward failed";
            std::free(message);
            // Computing a block again needs memory, too: whoever makes a pass smaller then must be able to tell.
            if (code == CT_OUT_OF_MEMORY) C10_THROW_ERROR(OutOfMemoryError, text);
            throw CallbackError(text);
        }
        return results;
    }
};

/// Lets a pass go back on the thread that asked for it, on a GPU too, where libtorch has a thread for each device: what
/// callers keep by thread is then the same in a custom backward as around the pass.
class OnThisThread {
    const bool former = c10::AutogradState::get_tls_state().get_multithreading_enabled();

public:
    OnThisThread() { c10::AutogradState::get_tls_state().set_multithreading_enabled(false); }
    ~OnThisThread() { c10::AutogradState::get_tls_state().set_multithreading_enabled(former); }
};

variable_list gradient_list(const ct_tensor *gradients, int32_t count) {
    return gradients ? borrow(gradients, count) : variable_list(count);
}

}  // namespace

extern "C" {

bool ct_requires_grad(ct_tensor tensor) { return borrow(tensor).requires_grad(); }

int32_t ct_set_requires_grad(ct_tensor tensor, bool value, ct_error *error) {
    return guarded(error, [&] { borrow(tensor).requires_grad_(value); });
}

bool ct_is_leaf(ct_tensor tensor) { return borrow(tensor).is_leaf(); }

ct_tensor ct_grad(ct_tensor tensor) { return give(at::Tensor(borrow(tensor).grad())); }

int32_t ct_set_grad(ct_tensor tensor, ct_tensor gradient, ct_error *error) {
    return guarded(error, [&] { borrow(tensor).mutable_grad() = borrow(gradient); });
}

ct_tensor ct_detach(ct_tensor tensor, ct_error *error) {
    return produce(error, [&] { return borrow(tensor).detach(); });
}

bool ct_set_grad_enabled(bool enabled) {
    const bool former = c10::GradMode::is_enabled();
    c10::GradMode::set_enabled(enabled);
    return former;
}

bool ct_is_grad_enabled(void) { return c10::GradMode::is_enabled(); }

int32_t ct_backward(
    const ct_tensor *tensors, const ct_tensor *gradients, int32_t count, bool retain_graph, ct_error *error) {
    return guarded(error, [&] {
        const OnThisThread here;
        torch::autograd::backward(borrow(tensors, count), gradient_list(gradients, count), retain_graph);
    });
}

int32_t ct_gradients(
    const ct_tensor *outputs, const ct_tensor *output_gradients, int32_t output_count, const ct_tensor *inputs,
    int32_t input_count, bool retain_graph, ct_tensor *results, ct_error *error) {
    return guarded(error, [&] {
        const OnThisThread here;
        auto found = torch::autograd::grad(
            borrow(outputs, output_count), borrow(inputs, input_count), gradient_list(output_gradients, output_count),
            retain_graph, /*create_graph=*/false, /*allow_unused=*/true);
        for (int32_t i = 0; i < input_count; i++) results[i] = give(std::move(found[i]));
    });
}

int32_t ct_attach_backward(
    const ct_tensor *inputs, int32_t input_count, const ct_tensor *outputs, int32_t output_count, void *context,
    ct_backward_function backward, void (*release)(void *), bool is_leaf, ct_tensor *results, ct_error *error) {
    std::shared_ptr<CallbackNode> node;
    const int32_t code = guarded(error, [&] {
        node = std::shared_ptr<CallbackNode>(
            new CallbackNode(context, backward, release, is_leaf), torch::autograd::deleteNode);
        auto sources = borrow(inputs, input_count);
        node->set_next_edges(torch::autograd::collect_next_edges(sources));
        for (int32_t i = 0; i < output_count; i++) {
            at::Tensor output = borrow(outputs[i]).detach();
            torch::autograd::set_history(output, node);
            results[i] = give(std::move(output));
        }
    });
    if (!node) release(context);
    return code;
}

}  // extern "C"
