// NCCL's functions for ranks that are threads of one process, on the device of tests. As on a GPU, an operation returns at
// once and is done later, when all ranks have asked for it; one that waits for a rank that never does waits until aborted.
#include <ct_distributed.h>

#include "include/stand_in_device.h"

#ifdef __APPLE__

void stand_in_device_hold_ranks(bool) {}
void stand_in_device_release_ranks(void) {}
int64_t stand_in_device_collectives(void) { return 0; }

#else

#include <ATen/ATen.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <semaphore>
#include <string>
#include <thread>

#include "streams.h"

namespace {

std::atomic<int64_t> collectives{0};
std::binary_semaphore holder{1};

enum Result { good = 0, system_error = 2, invalid = 4, remote_error = 6 };

struct Message {
    void *data;
    size_t count;
    int type, member;
};

struct Operation {
    std::string name;
    const void *from = nullptr;
    void *to = nullptr;
    size_t count = 0;
    int type = 0, detail = 0;
    std::vector<Message> sent, received;
};

/// Where the ranks of a communicator meet.
struct Room {
    std::mutex mutex;
    std::condition_variable changed;
    int size = 0, joined = 0, arrived = 0;
    int64_t turn = 0;
    bool is_aborted = false;
    int problem = good;
    std::vector<Operation> operations;
    /// On their way, by sender and receiver.
    std::map<std::pair<int, int>, std::deque<at::Tensor>> messages;
};

struct Communicator {
    std::shared_ptr<Room> room;
    int rank;
};

at::Tensor tensor(const void *data, size_t count, int type) {
    static const std::map<int, at::ScalarType> types = {
        {0, at::kChar}, {1, at::kByte},  {2, at::kInt},    {4, at::kLong},
        {6, at::kHalf}, {7, at::kFloat}, {8, at::kDouble}, {9, at::kBFloat16}};
    return at::from_blob(const_cast<void *>(data), {static_cast<int64_t>(count)}, types.at(type));
}

at::Tensor reduced(const std::vector<Operation> &all, size_t count) {
    at::Tensor sum;
    for (const Operation &one : all) {
        const at::Tensor next = tensor(one.from, count, one.type);
        sum = !sum.defined() ? next.clone()
              : one.detail == 3 ? at::minimum(sum, next)
              : one.detail == 2 ? at::maximum(sum, next)
                                : sum + next;
    }
    return sum;
}

/// What the last rank to come does for all.
int compute(std::vector<Operation> &all) {
    const Operation &first = all[0];
    const int64_t size = static_cast<int64_t>(all.size());
    for (const Operation &one : all) {
        const bool fits = one.name == first.name && one.type == first.type && one.detail == first.detail;
        if (!fits || one.count != first.count) return invalid;
    }
    const auto count = static_cast<int64_t>(first.count);
    if (first.name == "reduce") {
        const at::Tensor sum = reduced(all, first.count);
        for (Operation &one : all) tensor(one.to, first.count, first.type).copy_(sum);
    } else if (first.name == "broadcast") {
        const at::Tensor root = tensor(all[first.detail].from, first.count, first.type).clone();
        for (Operation &one : all) tensor(one.to, first.count, first.type).copy_(root);
    } else if (first.name == "gather") {
        std::vector<at::Tensor> parts;
        for (const Operation &one : all) parts.push_back(tensor(one.from, first.count, first.type));
        const at::Tensor whole = at::cat(parts);
        for (Operation &one : all) tensor(one.to, first.count * size, first.type).copy_(whole);
    } else if (first.name == "scatter") {
        const at::Tensor sum = reduced(all, first.count * size);
        for (int64_t rank = 0; rank < size; rank++) {
            tensor(all[rank].to, first.count, first.type).copy_(sum.narrow(0, rank * count, count));
        }
    }
    return good;
}

void meet(const std::shared_ptr<Room> &room, int rank, Operation operation) {
    std::unique_lock lock(room->mutex);
    room->operations.resize(room->size);
    room->operations[rank] = std::move(operation);
    const int64_t turn = room->turn;
    if (++room->arrived == room->size) {
        if (const int problem = compute(room->operations); problem != good) room->problem = problem;
        room->arrived = 0;
        room->turn++;
        room->changed.notify_all();
    } else {
        room->changed.wait(lock, [&] { return room->turn != turn || room->is_aborted; });
        if (room->turn == turn) room->problem = remote_error;
    }
}

/// Messages concern only those that send and receive them.
void exchange(Room &room, int rank, const Operation &operation) {
    std::unique_lock lock(room.mutex);
    for (const Message &sent : operation.sent) {
        room.messages[{rank, sent.member}].push_back(tensor(sent.data, sent.count, sent.type).clone());
    }
    room.changed.notify_all();
    for (const Message &wanted : operation.received) {
        auto &waiting = room.messages[{wanted.member, rank}];
        room.changed.wait(lock, [&] { return !waiting.empty() || room.is_aborted; });
        if (waiting.empty()) {
            room.problem = remote_error;
            return;
        }
        const at::Tensor place = tensor(wanted.data, wanted.count, wanted.type);
        if (place.scalar_type() == waiting.front().scalar_type() && place.numel() == waiting.front().numel()) {
            place.copy_(waiting.front());
        } else {
            room.problem = invalid;
        }
        waiting.pop_front();
    }
}

int start(void *communicator, void *stream, Operation operation) {
    auto *own = static_cast<Communicator *>(communicator);
    auto *queue = static_cast<stand_in::Stream *>(stream);
    collectives++;
    queue->pending++;
    std::thread([room = own->room, rank = own->rank, queue, operation = std::move(operation)] {
        if (operation.name == "messages") {
            exchange(*room, rank, operation);
        } else {
            meet(room, rank, operation);
        }
        queue->pending--;
    }).detach();
    return good;
}

// Messages between `group_start` and `group_end` are one operation.
thread_local Operation *open_group = nullptr;
thread_local void *group_communicator = nullptr, *group_stream = nullptr;

std::mutex rooms_mutex;
std::map<std::string, std::weak_ptr<Room>> rooms;

int get_unique_id(ct_unique_id *id) {
    static std::atomic<int> next{0};
    std::snprintf(id->bytes, sizeof id->bytes, "room %d", next++);
    return good;
}

int init_rank(void **communicator, int size, ct_unique_id id, int rank) {
    std::shared_ptr<Room> room;
    {
        const std::lock_guard lock(rooms_mutex);
        room = rooms[id.bytes].lock();
        if (!room) rooms[id.bytes] = room = std::make_shared<Room>();
    }
    std::unique_lock lock(room->mutex);
    room->size = size;
    room->joined++;
    room->changed.notify_all();
    // As NCCL's, which waits for all.
    if (!room->changed.wait_for(lock, std::chrono::seconds(60), [&] { return room->joined == size; })) return system_error;
    *communicator = new Communicator{room, rank};
    return good;
}

int abort_communicator(void *communicator) {
    auto *own = static_cast<Communicator *>(communicator);
    {
        const std::lock_guard lock(own->room->mutex);
        own->room->is_aborted = true;
        own->room->changed.notify_all();
    }
    delete own;
    return good;
}

int async_error(void *communicator, int *error) {
    auto &room = *static_cast<Communicator *>(communicator)->room;
    const std::lock_guard lock(room.mutex);
    *error = room.problem;
    return good;
}

const char *error_string(int error) {
    return error == invalid ? "invalid argument" : error == remote_error ? "remote process exited" : "unhandled system error";
}

int group_start() {
    open_group = new Operation{"messages"};
    group_communicator = group_stream = nullptr;
    return good;
}

int group_end() {
    const std::unique_ptr<Operation> whole(open_group);
    open_group = nullptr;
    return group_communicator ? start(group_communicator, group_stream, *whole) : good;
}

int send(const void *from, size_t count, int type, int member, void *communicator, void *stream) {
    if (open_group == nullptr) return invalid;
    open_group->sent.push_back({const_cast<void *>(from), count, type, member});
    group_communicator = communicator;
    group_stream = stream;
    return good;
}

int receive(void *to, size_t count, int type, int member, void *communicator, void *stream) {
    if (open_group == nullptr) return invalid;
    open_group->received.push_back({to, count, type, member});
    group_communicator = communicator;
    group_stream = stream;
    return good;
}

const ct_collectives functions = {
    .get_unique_id = get_unique_id,
    .init_rank = init_rank,
    .abort = abort_communicator,
    .async_error = async_error,
    .error_string = error_string,
    .group_start = group_start,
    .group_end = group_end,
    .all_reduce = [](const void *from, void *to, size_t count, int type, int operation, void *group, void *stream) {
        return start(group, stream, {"reduce", from, to, count, type, operation});
    },
    .broadcast = [](const void *from, void *to, size_t count, int type, int root, void *group, void *stream) {
        return start(group, stream, {"broadcast", from, to, count, type, root});
    },
    .all_gather = [](const void *from, void *to, size_t count, int type, void *group, void *stream) {
        return start(group, stream, {"gather", from, to, count, type});
    },
    .reduce_scatter = [](const void *from, void *to, size_t count, int type, int operation, void *group, void *stream) {
        return start(group, stream, {"scatter", from, to, count, type, operation});
    },
    .send = send,
    .receive = receive,
    .shares_devices = true,
};

}  // namespace

void stand_in_device_hold_ranks(bool connected) {
    holder.acquire();
    ct_collectives_use(connected ? &functions : nullptr);
}
void stand_in_device_release_ranks(void) {
    ct_collectives_use(nullptr);
    holder.release();
}
int64_t stand_in_device_collectives(void) { return collectives; }

#endif
