/* Preloaded into every process that benches/versus.sh compares: the same camera, and the same clock, for all of them.
 *
 * libcamera's virtual camera makes a frame as soon as a request comes, and paints it with the processor. Here it is held to a rate, as a sensor is
 * (VERSUS_RATE, frames per second; 0 or none: as it is), and leaves frames unpainted (VERSUS_PAINT=0), as a camera does whose DMA fills them: what
 * is left is what libcamera and the element do. Both functions are libcamera's own, replaced by name; everything else is untouched.
 *
 * The moments at which a frame was begun and at which libcamera completed it are kept by the number of its request, for whoever asks in this process.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEPT 65536

static _Atomic uint64_t begun[KEPT], completed[KEPT];

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

uint64_t versus_begun(uint32_t sequence)
{
	return begun[sequence % KEPT];
}

uint64_t versus_completed(uint32_t sequence)
{
	return completed[sequence % KEPT];
}

static long setting(const char *name, long otherwise)
{
	const char *value = getenv(name);

	return value && *value ? atol(value) : otherwise;
}

static int is_libcamera(struct dl_phdr_info *info, size_t size, void *name)
{
	(void)size;
	if (!strstr(info->dlpi_name, "/libcamera.so"))
		return 0;
	*(const char **)name = info->dlpi_name;
	return 1;
}

/* A function of libcamera's itself. It came with a plugin, and so is not in the scope of what was preloaded. */
static void *original(const char *symbol)
{
	const char *name = NULL;

	dl_iterate_phdr(is_libcamera, &name);
	return dlsym(dlopen(name, RTLD_LAZY | RTLD_NOLOAD), symbol);
}

/* Request::sequence() const. */
static uint32_t number(const void *request)
{
	static uint32_t (*real)(const void *);

	if (!real)
		real = original("_ZNK9libcamera7Request8sequenceEv");
	return real(request) % KEPT;
}

/* VirtualCameraData::processRequest(Request *), in the camera's own thread. A tick that finds no request is lost, as a sensor's frame is. */
void _ZN9libcamera17VirtualCameraData14processRequestEPNS_7RequestE(void *self, void *request)
{
	static void (*real)(void *, void *);
	static uint64_t interval, next;

	if (!real) {
		long rate = setting("VERSUS_RATE", 0);

		real = original(__func__);
		interval = rate > 0 ? 1000000000ull / rate : 0;
		next = now();
	}
	if (interval) {
		uint64_t time = now();
		struct timespec tick;

		next += interval;
		if (next < time)
			next += (time - next + interval - 1) / interval * interval;
		tick.tv_sec = next / 1000000000ull;
		tick.tv_nsec = next % 1000000000ull;
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &tick, NULL))
			;
	}
	begun[number(request)] = interval ? next : now();
	real(self, request);
}

/* TestPatternGenerator::generateFrame(const Size &, const FrameBuffer *). */
int _ZN9libcamera20TestPatternGenerator13generateFrameERKNS_4SizeEPKNS_11FrameBufferE(void *self, const void *size, const void *buffer)
{
	static int (*real)(void *, const void *, const void *);

	if (!real)
		real = original(__func__);
	return setting("VERSUS_PAINT", 1) ? real(self, size, buffer) : 0;
}

/* Camera::requestComplete(Request *), in the camera manager's thread: what calls the application. */
void _ZN9libcamera6Camera15requestCompleteEPNS_7RequestE(void *self, void *request)
{
	static void (*real)(void *, void *);

	if (!real)
		real = original(__func__);
	completed[number(request)] = now();
	real(self, request);
}
