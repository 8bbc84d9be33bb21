// Streams of the device of tests: the number of operations on each that are not done.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>

namespace stand_in {

struct Stream {
    std::atomic<int> pending{0};
};

class Streams {
  public:
    static Streams &shared() {
        static Streams *streams = new Streams();
        return *streams;
    }

    int64_t add() {
        const std::lock_guard lock(mutex_);
        streams_.emplace_back();
        return static_cast<int64_t>(streams_.size()) - 1;
    }

    Stream *find(int64_t number) {
        const std::lock_guard lock(mutex_);
        return &streams_.at(number);
    }

  private:
    // The first is the one that everything else runs on.
    Streams() : streams_(1) {}
    std::mutex mutex_;
    std::deque<Stream> streams_;
};

}  // namespace stand_in
