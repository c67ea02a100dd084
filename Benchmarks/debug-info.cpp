// One of many units of a program with much debug information: compiled with another UNIT and SEED each
// time, so that every unit's functions are its own. Benchmarks/symbols.py builds it.
#include <algorithm>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace UNIT {

struct Key {
    std::string text;
    int number;
    bool operator<(const Key &other) const {
        return std::tie(number, text) < std::tie(other.number, other.text);
    }
    bool operator==(const Key &other) const { return number == other.number && text == other.text; }
};

struct Hash {
    size_t operator()(const Key &key) const {
        return std::hash<std::string>()(key.text) ^ static_cast<size_t>(key.number);
    }
};

template <int N> struct Value {
    std::vector<Key> keys;
    std::variant<int, std::string, Key> any;
    bool operator<(const Value &other) const { return keys < other.keys; }
};

// Work that differs by its types alone, so that every instance has all containers anew.
template <int N> size_t work(const std::string &text) {
    std::map<Key, Value<N>> map;
    std::unordered_map<Key, std::shared_ptr<Value<N>>, Hash> table;
    std::deque<Value<N>> queue;
    std::list<Value<N>> list;
    std::set<Value<N>> set;
    for (int i = 0; i < N + static_cast<int>(text.size()); i++) {
        Key key{text + std::to_string(i), i};
        map[key].keys.push_back(key);
        table[key] = std::make_shared<Value<N>>();
        queue.push_back(map[key]);
        list.emplace_front(map[key]);
        set.insert(list.front());
    }
    std::sort(queue.begin(), queue.end());
    list.sort();
    std::function<size_t(const Key &)> visit = [&](const Key &key) {
        return map.count(key) + table.count(key);
    };
    size_t sum = 0;
    for (auto &value : queue) {
        for (auto &key : value.keys) sum += visit(key);
    }
    std::ostringstream out;
    for (auto &value : set) out << value.keys.size();
    return sum + out.str().size();
}

template <int... Ns> size_t all(const std::string &text, std::integer_sequence<int, Ns...>) {
    return (work<Ns + 1>(text) + ...);
}

struct Traits : std::regex_traits<char> {};

size_t run(const std::string &text) {
    std::basic_regex<char, Traits> pattern("(a|b)*c[d-f]+");
    std::smatch match;
    size_t found = std::regex_search(text, match, pattern) ? 1 : 0;
    return found + all(text, std::make_integer_sequence<int, INSTANCES>());
}

} // namespace UNIT
