/* Shared segments on the real kernel: owners come and go, messages, forks, kills, and every system call made to fail. */
#undef NDEBUG
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap/shared_segment.h"
#include "os/memory_file.h"
#include "os/pages.h"

enum { DATA_BYTES = 100000 };

static uint32_t me(void) { return (uint32_t)getpid(); }

static uint64_t owners(hw_segment *segment) {
    int result = hw_segment_review(segment);
    assert(result == 0 || result == HW_SEGMENT_ENDED);
    assert((result == HW_SEGMENT_ENDED) == (hw_owner_sum(segment->table) == 0));
    return hw_owner_sum(segment->table);
}

static void finish(hw_segment *segment) {
    while (segment->owners != 0) hw_segment_disown(segment);
    hw_segment_close(segment);
}

static void die(void) { kill(getpid(), SIGKILL); }

static void reap(pid_t child) { assert(waitpid(child, NULL, 0) == child); }

static void comes_and_goes(void) {
    hw_segment segment;
    assert(hw_segment_create(&segment, 5, DATA_BYTES, me()) == 0);
    memset(hw_segment_data(&segment), 7, DATA_BYTES);
    assert(owners(&segment) == 1 && hw_segment_own(&segment) == 0 && owners(&segment) == 2);
    hw_segment_disown(&segment);
    hw_segment_disown(&segment);
    assert(owners(&segment) == 0 && hw_segment_own(&segment) == HW_SEGMENT_ENDED);
    for (size_t i = 0; i < DATA_BYTES; i++) assert(hw_segment_data(&segment)[i] == 0); /* given back */
    finish(&segment);
}

/* The message is adopted by another struct, as it would be by another process, and by the same one. */
static void messages(void) {
    hw_segment segment, other;
    int file;
    uint32_t row;
    assert(hw_segment_create(&segment, 0, DATA_BYTES, me()) == 0);
    assert(hw_segment_dispatch(&segment, &file, &row) == 0 && owners(&segment) == 2);
    assert(hw_segment_adopt(&other, file, row + 1, 1) == HW_SEGMENT_STRANGE);
    assert(hw_segment_adopt(&other, file, segment.row, 1) == HW_SEGMENT_STRANGE);
    assert(hw_segment_adopt(&other, file, row, 1) == 0);
    hw_memory_file_close(file);
    assert(owners(&segment) == 2 && other.identity == segment.identity);
    hw_segment_data(&other)[DATA_BYTES - 1] = 3;
    assert(hw_segment_data(&segment)[DATA_BYTES - 1] == 3);
    assert(hw_segment_dispatch(&segment, &file, &row) == 0 && hw_segment_adopt_again(&segment, file, row) == 0);
    hw_memory_file_close(file);
    assert(owners(&other) == 3 && segment.owners == 2);
    assert(hw_segment_dispatch(&segment, &file, &row) == 0);
    hw_memory_file_close(file); /* dropped */
    assert(owners(&other) == 3);
    finish(&segment);
    assert(owners(&other) == 1 && hw_segment_data(&other)[DATA_BYTES - 1] == 3);
    finish(&other);
}

static void killed_while_it_owns(void) {
    hw_segment segment;
    int held[2];
    char byte;
    assert(hw_segment_create(&segment, 0, DATA_BYTES, me()) == 0 && pipe(held) == 0);
    assert(hw_segment_own(&segment) == 0);
    assert(hw_segment_prepare_child(&segment) == 0 && owners(&segment) == 4); /* the child, before there is one */
    pid_t child = fork();
    if (child == 0) {
        hw_segment_become_child(&segment, me());
        for (int i = 0; i < 3; i++) assert(hw_segment_own(&segment) == 0);
        assert(write(held[1], "1", 1) == 1);
        pause();
    }
    hw_segment_forget_child(&segment);
    assert(read(held[0], &byte, 1) == 1 && owners(&segment) == 2 + 5);
    hw_segment_disown(&segment);
    hw_segment_disown(&segment);
    assert(owners(&segment) == 5);
    kill(child, SIGKILL);
    reap(child);
    assert(owners(&segment) == 0 && hw_segment_own(&segment) == HW_SEGMENT_ENDED);
    finish(&segment);
    close(held[0]);
    close(held[1]);
}

/* A child that is killed at its n-th system call, for every n: those of another process are made to fail, which is the same
 * place, and then it dies there. */
static void killed_at_every_call(void) {
    hw_segment segment;
    assert(hw_segment_create(&segment, 0, DATA_BYTES, me()) == 0);
    int status = 1;
    for (long n = 1; status != 0; n++) {
        assert(hw_segment_prepare_child(&segment) == 0);
        pid_t child = fork();
        if (child == 0) {
            int file;
            uint32_t row;
            hw_pages_fail_nth(n);
            hw_segment_become_child(&segment, me());
            if (hw_segment_dispatch(&segment, &file, &row) != 0 || hw_segment_adopt_again(&segment, file, row) != 0) die();
            hw_memory_file_close(file);
            hw_segment_disown(&segment);
            hw_segment_disown(&segment);
            if (hw_pages_fail_nth(0) == 0 || hw_segment_own(&segment) != 0) die();
            _exit(0);
        }
        hw_segment_forget_child(&segment);
        assert(waitpid(child, &status, 0) == child);
        assert(owners(&segment) == 1 && n < 100);
    }
    finish(&segment);
}

/* Each of our own calls fails once: an error, nothing left open, the count as before. */
static void every_call_fails(void) {
    hw_segment segment, other;
    int file;
    uint32_t row;
    long n;
    for (n = 1; n < 20; n++) {
        hw_pages_fail_nth(n);
        int error = hw_segment_create(&segment, 3, DATA_BYTES, me());
        assert((error == 0) == (hw_pages_fail_nth(0) > 0));
        if (error == 0) finish(&segment);
    }
    assert(hw_segment_create(&segment, 3, DATA_BYTES, me()) == 0);
    for (n = 1; n < 20; n++) {
        hw_pages_fail_nth(n);
        int error = hw_segment_dispatch(&segment, &file, &row);
        hw_pages_fail_nth(0);
        assert(owners(&segment) == 1 + (error == 0));
        if (error == 0) hw_memory_file_close(file);
        assert(hw_segment_dispatch(&segment, &file, &row) == 0);
        hw_pages_fail_nth(n);
        error = hw_segment_adopt(&other, file, row, 1);
        hw_pages_fail_nth(0);
        assert(owners(&segment) == 2); /* the message, or who took it */
        hw_memory_file_close(file);
        assert(owners(&segment) == 1 + (error == 0));
        hw_pages_fail_nth(n);
        if (error == 0) finish(&other); /* cannot fail */
        hw_pages_fail_nth(n);
        error = hw_segment_prepare_child(&segment);
        hw_pages_fail_nth(0);
        assert(owners(&segment) == 1 + (error == 0));
        hw_segment_forget_child(&segment);
        assert(owners(&segment) == 1);
    }
    finish(&segment);
}

int main(void) {
    comes_and_goes();
    messages();
    killed_while_it_owns();
    killed_at_every_call();
    every_call_fails();
    puts("shared segments: owners, messages, forks, kills and failed calls");
    return 0;
}
