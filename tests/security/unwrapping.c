/* A PKCS#11 module for a test: SoftHSM2, but for what it lacks: its 3DES keys unwrap others (C_UnwrapKey with
 * CKM_DES3_ECB), as hardware does. Which calls posd makes, and with which templates, is real; inside, the module decrypts
 * and creates the object itself, so that no clear key ever comes out of it. A key that may unwrap may not decrypt. */
#include <dlfcn.h>
#include <string.h>

typedef unsigned long CK;
typedef struct { CK type; void *value; CK length; } Attribute;
typedef struct { CK mechanism; void *parameter; CK length; } Mechanism;
typedef CK (*Any)();
typedef struct { unsigned char version[2]; Any calls[68]; } List;

enum { CREATE = 20, GET_ATTRIBUTE = 24, DECRYPT_INIT = 33, DECRYPT = 34, UNWRAP = 61 };
enum { CKA_VALUE = 0x11, CKA_DECRYPT = 0x105, CKA_UNWRAP = 0x107, DES3_ECB = 0x132, NOT_PERMITTED = 0x68, INVALID = 0x70 };
enum { MANY = 32 };

static List *real, ours;

static int may_unwrap(CK session, CK key) {
    unsigned char said = 0;
    Attribute asked = {CKA_UNWRAP, &said, 1};
    return real->calls[GET_ATTRIBUTE](session, key, &asked, 1UL) == 0 && said;
}

static CK create(CK session, Attribute *given, CK count, CK *key) {
    Attribute made[MANY];
    unsigned char yes = 1;
    int unwraps = 0;
    memcpy(made, given, count * sizeof *given);
    for (CK at = 0; at < count; at++)
        unwraps |= given[at].type == CKA_UNWRAP && *(unsigned char *)given[at].value;
    for (CK at = 0; unwraps && at < count; at++)
        if (made[at].type == CKA_DECRYPT)
            made[at].value = &yes; /* for this module alone: decrypt_init forbids it to everybody else */
    return real->calls[CREATE](session, made, count, key);
}

static CK decrypt_init(CK session, Mechanism *how, CK key) {
    return may_unwrap(session, key) ? NOT_PERMITTED : real->calls[DECRYPT_INIT](session, how, key);
}

static CK unwrap(CK session, Mechanism *how, CK with, unsigned char *wrapped, CK length, Attribute *given, CK count, CK *key) {
    unsigned char clear[64];
    CK size = sizeof clear, failed;
    Attribute made[MANY];
    if (how->mechanism != DES3_ECB)
        return INVALID;
    if (!may_unwrap(session, with))
        return NOT_PERMITTED;
    if ((failed = real->calls[DECRYPT_INIT](session, how, with)) || (failed = real->calls[DECRYPT](session, wrapped, length, clear, &size)))
        return failed;
    memcpy(made, given, count * sizeof *given);
    made[count] = (Attribute){CKA_VALUE, clear, size};
    return real->calls[CREATE](session, made, count + 1, key);
}

CK C_GetFunctionList(List **list) {
    void *library = dlopen(SOFTHSM, RTLD_NOW | RTLD_LOCAL);
    if (library == 0 || ((Any)dlsym(library, "C_GetFunctionList"))(&real) != 0)
        return 5;
    ours = *real;
    ours.calls[CREATE] = (Any)create;
    ours.calls[DECRYPT_INIT] = (Any)decrypt_init;
    ours.calls[UNWRAP] = (Any)unwrap;
    *list = &ours;
    return 0;
}
