/* Preloaded where benches/versus.sh counts allocations: each call that takes memory counts for the library that made it, whatever that call does to get
 * the memory. libgstreamer's `g_slice_alloc` is libgstreamer's allocation, a `Box` of libcamerasrc-rs is its own.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);

#define MOST 512

static struct range {
	uintptr_t begin, end;
	char name[96];
	_Atomic uint64_t calls;
} ranges[MOST];
static int count;
static _Atomic int counting;
static __thread int inside __attribute__((tls_model("initial-exec")));

static void counted(const void *caller)
{
	uintptr_t address = (uintptr_t)caller;

	if (inside || !counting)
		return;
	for (int i = 0; i < count; i++)
		if (address >= ranges[i].begin && address < ranges[i].end) {
			ranges[i].calls++;
			return;
		}
}

static int note(struct dl_phdr_info *info, size_t size, void *data)
{
	const char *slash = strrchr(info->dlpi_name, '/');

	(void)size, (void)data;
	for (int i = 0; i < info->dlpi_phnum && count < MOST; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];

		if (header->p_type != PT_LOAD || !(header->p_flags & PF_X))
			continue;
		ranges[count].begin = info->dlpi_addr + header->p_vaddr;
		ranges[count].end = ranges[count].begin + header->p_memsz;
		snprintf(ranges[count].name, sizeof(ranges[count].name), "%s", slash ? slash + 1 : "program");
		count++;
	}
	return 0;
}

/* From now on. Every library that matters is loaded by then. */
void versus_allocations_begin(void)
{
	count = 0;
	dl_iterate_phdr(note, NULL);
	counting = 1;
}

/* `NAME CALLS` of each library that made some, one a line. */
void versus_allocations_end(char *text, size_t size)
{
	size_t used = 0;

	counting = 0;
	*text = 0;
	for (int i = 0; i < count && used < size; i++)
		if (ranges[i].calls)
			used += snprintf(text + used, size - used, "%s %llu\n", ranges[i].name, (unsigned long long)ranges[i].calls);
}

#define COUNTED(call) \
	({ \
		void *result; \
		counted(__builtin_return_address(0)); \
		inside++; \
		result = call; \
		inside--; \
		result; \
	})

void *malloc(size_t size) { return COUNTED(__libc_malloc(size)); }
void *calloc(size_t items, size_t size) { return COUNTED(__libc_calloc(items, size)); }
void *realloc(void *memory, size_t size) { return COUNTED(__libc_realloc(memory, size)); }
void *memalign(size_t alignment, size_t size) { return COUNTED(__libc_memalign(alignment, size)); }
void *aligned_alloc(size_t alignment, size_t size) { return COUNTED(__libc_memalign(alignment, size)); }

int posix_memalign(void **memory, size_t alignment, size_t size)
{
	*memory = COUNTED(__libc_memalign(alignment, size));
	return *memory ? 0 : 12;
}

/* operator new. */
void *_Znwm(size_t size) { return COUNTED(__libc_malloc(size)); }
void *_Znam(size_t size) { return COUNTED(__libc_malloc(size)); }

/* What has an allocator of its own above those. */
#define WRAP(name, parameters, arguments) \
	void *name parameters \
	{ \
		static void *(*real) parameters; \
		if (!real) \
			real = dlsym(RTLD_NEXT, #name); \
		return COUNTED(real arguments); \
	}
WRAP(g_malloc, (size_t size), (size))
WRAP(g_malloc0, (size_t size), (size))
WRAP(g_malloc_n, (size_t items, size_t size), (items, size))
WRAP(g_malloc0_n, (size_t items, size_t size), (items, size))
WRAP(g_realloc, (void *memory, size_t size), (memory, size))
WRAP(g_slice_alloc, (size_t size), (size))
WRAP(g_slice_alloc0, (size_t size), (size))
