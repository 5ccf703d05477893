/* The kernel's view of a thread. */
#ifndef HW_OS_THREAD_H
#define HW_OS_THREAD_H

/* The calling thread's kernel id. */
long hw_thread_id(void);

/* Waits until the kernel no longer lists a thread that has been joined: pthread_join returns a little before that. Gives
 * up after some milliseconds. */
void hw_thread_wait_gone(long thread_id);

#endif
