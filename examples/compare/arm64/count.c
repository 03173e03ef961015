/* A plugin for qemu-user: how often every piece of guest code ran. At exit it prints "ADDRESS INSTRUCTIONS TIMES" for each
 * piece of straight-line code, which loops.py adds up by address. Made for one guest thread.
 *
 * The interface is qemu's plugin API, version 1; its header is not in Debian's packages, so what is used is declared here. */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t qemu_plugin_id_t;

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *counter, uint64_t by);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
extern void qemu_plugin_outs(const char *);

int qemu_plugin_version = 1;

struct piece {
    uint64_t address, instructions, times;
    struct piece *next;
};
static struct piece *pieces;

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    struct piece *piece = calloc(1, sizeof *piece);
    if (!piece) abort();
    piece->address = qemu_plugin_tb_vaddr(tb);
    piece->instructions = qemu_plugin_tb_n_insns(tb);
    piece->next = pieces;
    pieces = piece;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, 0 /* add */, &piece->times, 1);
}

static void at_exit(qemu_plugin_id_t id, void *data) {
    (void)id, (void)data;
    for (struct piece *p = pieces; p; p = p->next) {
        char line[80];
        snprintf(line, sizeof line, "%" PRIx64 " %" PRIu64 " %" PRIu64 "\n", p->address, p->instructions, p->times);
        qemu_plugin_outs(line);
    }
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
