/* For tests on machines without /dev/udmabuf and /dev/dma_heap: preloaded, it answers for /dev/udmabuf with memfds, so that libcamera exports
 * frames. They are no DMABUFs, but everything up to a real importer takes them for some.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/udmabuf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WRAP_OPEN(name)                                                        \
	int name(const char *path, int flags, ...)                             \
	{                                                                      \
		static int (*real)(const char *, int, ...);                    \
		mode_t mode = 0;                                               \
		if (flags & (O_CREAT | __O_TMPFILE)) {                         \
			va_list arguments;                                     \
			va_start(arguments, flags);                            \
			mode = va_arg(arguments, int);                         \
			va_end(arguments);                                     \
		}                                                              \
		if (path && !strcmp(path, "/dev/udmabuf"))                     \
			return syscall(SYS_memfd_create, "udmabuf", FD_CLOEXEC); \
		if (!real)                                                     \
			real = dlsym(RTLD_NEXT, #name);                        \
		return real(path, flags, mode);                                \
	}
WRAP_OPEN(open)
WRAP_OPEN(open64)

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;
	int result;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request == UDMABUF_CREATE) {
		const struct udmabuf_create *create = argument;
		int seals = fcntl(create->memfd, F_GET_SEALS);

		/* What the kernel's driver checks. */
		if (!create->size || (create->offset | create->size) & (sysconf(_SC_PAGESIZE) - 1) ||
		    seals < 0 || !(seals & F_SEAL_SHRINK) || seals & F_SEAL_WRITE) {
			errno = EINVAL;
			return -1;
		}
		return fcntl(create->memfd, F_DUPFD_CLOEXEC, 0);
	}
	result = syscall(SYS_ioctl, fd, request, argument);
	if (result < 0 && errno == ENOTTY &&
	    (request == DMA_BUF_IOCTL_SYNC || request == DMA_BUF_SET_NAME_A || request == DMA_BUF_SET_NAME_B))
		return 0;
	return result;
}
