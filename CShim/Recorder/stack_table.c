#include "stack_table.h"

#include "process.h"

static uint32_t hash_of(uint32_t parent, uint64_t frame) {
    uint64_t hash = (frame ^ (uint64_t)parent << 32 ^ parent) * 0x9e3779b97f4a7c15ULL;
    return (uint32_t)(hash >> 32 ^ hash >> 20);
}

// Looks for the node in the chain from `from` up to, but not including, `until`; 0 when it is not
// there.
static uint32_t find_in_chain(uint32_t from, uint32_t until, uint32_t parent, uint64_t frame) {
    for (uint32_t index = from; index != until && index != 0;) {
        const struct lp_node *node = &lp_process.nodes[index];
        if (node->frame_low == (uint32_t)frame && node->frame_high == frame >> 32 &&
            node->parent == parent)
            return index;
        index = node->next;
    }
    return 0;
}

uint32_t lp_stack_child(uint32_t parent, uint64_t frame) {
    uint32_t *bucket = &lp_process.buckets[hash_of(parent, frame) & lp_process.buckets_mask];
    uint32_t head = lp_load_acquire_u32(bucket);
    uint32_t found = find_in_chain(head, 0, parent, frame);
    if (found != 0) return found;

    uint32_t *used = &lp_process.header->nodes_used;
    if (lp_load_relaxed_u32(used) >= lp_process.nodes_capacity) return 0;
    uint32_t index = lp_add_relaxed_u32(used, 1);
    if (index >= lp_process.nodes_capacity) return 0;
    struct lp_node *node = &lp_process.nodes[index];
    node->frame_low = (uint32_t)frame;
    node->frame_high = (uint32_t)(frame >> 32);
    node->parent = parent;
    for (;;) {
        uint32_t seen = head;
        node->next = head;
        if (lp_compare_exchange_u32(bucket, &head, index)) return index;
        // Others came first: only their nodes need a look. If one is ours, our own stays unreachable.
        found = find_in_chain(head, seen, parent, frame);
        if (found != 0) return found;
    }
}

uint32_t lp_stack_intern(const uint64_t *frames, uint32_t count) {
    uint32_t node = 0;
    while (count > 0) {
        node = lp_stack_child(node, frames[--count]);
        if (node == 0) {
            lp_count(LP_STAT_STACKS_LOST, 1);
            return 0;
        }
    }
    return node;
}
