// Allocates through functions whose unwind information says what compilers seldom say. Each keeps the
// stack as its unwind information describes it.
#include <stdlib.h>

void allocate(void);
void allocate(void) {
    void *volatile block = malloc(50);
    free(block);
}

#define FUNCTION(name, body)                                                                           \
    void name(void);                                                                                   \
    __asm__(".text\n.type " #name ", @function\n" #name ":\n.cfi_startproc\n" body                     \
            "ret\n.cfi_endproc\n.size " #name ", .-" #name "\n");

#define PUSH_RBP "push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset %rbp, -16\n"
#define POP_RBP "pop %rbp\n.cfi_def_cfa %rsp, 8\n.cfi_restore %rbp\n"
#define FRAME PUSH_RBP "mov %rsp, %rbp\n.cfi_def_cfa_register %rbp\nsub $16, %rsp\n"
#define END_OF_FRAME "mov %rbp, %rsp\n" POP_RBP
// The CFA is the word at rbp - 8, and the caller's rbp is at rbp.
#define WORD_AT_RBP "lea 16(%rbp), %rax\nmov %rax, -8(%rbp)\n.cfi_escape 0x0f, 3, 0x76, 0x78, 0x06\n"
#define SAVED_AT_RBP ".cfi_escape 0x10, 6, 2, 0x76, 0\n"

FUNCTION(cfa_in_word, FRAME WORD_AT_RBP SAVED_AT_RBP "call allocate\n" END_OF_FRAME)
// An expression leaves the offset alone that a register's CFA had.
FUNCTION(register_after_expression,
         FRAME WORD_AT_RBP "call allocate\n.cfi_def_cfa_register %rbp\ncall allocate\n" END_OF_FRAME)
// An offset does not end an expression.
FUNCTION(offset_after_expression, FRAME WORD_AT_RBP SAVED_AT_RBP
         "call allocate\n.cfi_def_cfa_offset 32\ncall allocate\n" END_OF_FRAME)
FUNCTION(rbp_from_cfa_in_word, FRAME WORD_AT_RBP "call allocate\n" END_OF_FRAME)
FUNCTION(other_expression, FRAME ".cfi_escape 0x0f, 2, 0x76, 16\ncall allocate\n" END_OF_FRAME)

FUNCTION(cfa_from_rbx, "push %rbx\n.cfi_def_cfa_offset 16\n.cfi_offset %rbx, -16\n"
                       "mov %rsp, %rbx\n.cfi_def_cfa_register %rbx\nsub $16, %rsp\ncall allocate\n"
                       "mov %rbx, %rsp\npop %rbx\n.cfi_def_cfa %rsp, 8\n")
FUNCTION(rbp_in_rbx, "push %rbx\n.cfi_def_cfa_offset 16\n.cfi_offset %rbx, -16\n"
                     "mov %rbp, %rbx\n.cfi_register %rbp, %rbx\nmov $1, %ebp\ncall allocate\n"
                     "mov %rbx, %rbp\n.cfi_restore %rbp\npop %rbx\n.cfi_def_cfa_offset 8\n")
FUNCTION(rbp_undefined, "sub $8, %rsp\n.cfi_def_cfa_offset 16\n.cfi_undefined %rbp\ncall allocate\n"
                        "add $8, %rsp\n.cfi_def_cfa_offset 8\n")
FUNCTION(rbp_same, FRAME "mov (%rbp), %rbp\n.cfi_def_cfa %rsp, 32\n.cfi_same_value %rbp\n"
                         "call allocate\nadd $24, %rsp\n.cfi_def_cfa_offset 8\n")
FUNCTION(rbp_far_away, "sub $40008, %rsp\n.cfi_def_cfa_offset 40016\nmov %rbp, (%rsp)\n"
                       ".cfi_offset %rbp, -40016\nmov $1, %ebp\ncall allocate\n"
                       "mov (%rsp), %rbp\nadd $40008, %rsp\n.cfi_def_cfa_offset 8\n.cfi_restore %rbp\n")
FUNCTION(arguments, "push $1\n.cfi_adjust_cfa_offset 8\n.cfi_escape 0x2e, 8\ncall allocate\n"
                    "pop %rax\n.cfi_adjust_cfa_offset -8\n")
FUNCTION(remembered, ".cfi_remember_state\n" PUSH_RBP
                     ".cfi_remember_state\npush $1\npush $2\n.cfi_adjust_cfa_offset 16\n"
                     ".cfi_remember_state\npush $3\npush $4\n.cfi_adjust_cfa_offset 16\n"
                     "call allocate\nadd $16, %rsp\n.cfi_restore_state\n"
                     "call allocate\nadd $16, %rsp\n.cfi_restore_state\n"
                     "call allocate\npop %rbp\n.cfi_restore_state\n")
FUNCTION(remembered_often,
         ".cfi_remember_state\n.cfi_remember_state\n.cfi_remember_state\n.cfi_remember_state\n"
         ".cfi_remember_state\n" PUSH_RBP "call allocate\npop %rbp\n"
         ".cfi_restore_state\n.cfi_restore_state\n.cfi_restore_state\n.cfi_restore_state\n"
         ".cfi_restore_state\n")
FUNCTION(return_address_moved, FRAME "mov 8(%rbp), %rax\nmov %rax, -8(%rbp)\nmovq $0, 8(%rbp)\n"
                                     ".cfi_offset %rip, -24\ncall allocate\n"
                                     "mov -8(%rbp), %rax\nmov %rax, 8(%rbp)\n" END_OF_FRAME)
FUNCTION(rsp_stated, "sub $8, %rsp\n.cfi_def_cfa_offset 16\n.cfi_val_offset %rsp, 0\ncall allocate\n"
                     "add $8, %rsp\n.cfi_def_cfa_offset 8\n")
// Advances of one, two and four bytes.
FUNCTION(long_function,
         PUSH_RBP ".skip 100, 0x90\npush $1\n.cfi_adjust_cfa_offset 8\n.skip 1000, 0x90\n"
                  "push $2\n.cfi_adjust_cfa_offset 8\n.skip 70000, 0x90\n"
                  "push $3\npush $4\n.cfi_adjust_cfa_offset 16\ncall allocate\n"
                  "add $32, %rsp\n.cfi_adjust_cfa_offset -32\n" POP_RBP)

int main(void) {
    static void (*const functions[])(void) = {
        cfa_in_word,
        register_after_expression,
        offset_after_expression,
        rbp_from_cfa_in_word,
        other_expression,
        cfa_from_rbx,
        rbp_in_rbx,
        rbp_undefined,
        rbp_same,
        rbp_far_away,
        arguments,
        remembered,
        remembered_often,
        return_address_moved,
        rsp_stated,
        long_function,
    };
    // Under a frame pointer and without one, twice each: the second stack is found by what is left of
    // the first.
    for (int i = 0; i < 100; i++) {
        for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
            functions[f]();
            functions[f]();
        }
    }
    return 0;
}
