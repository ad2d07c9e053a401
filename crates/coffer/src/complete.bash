# Completion of coffer in bash, with names: made by 'coffer completion bash --names'.
_coffer_complete() {
    local IFS=$'\013'
    # Bash takes words apart at ':' and '=' (COMP_WORDBREAKS): what no blank parts is one word, up to the cursor.
    local -a words=("${COMP_WORDS[0]}")
    local line=${COMP_LINE:0:COMP_POINT} word blanks i last=0
    line=${line#*"${COMP_WORDS[0]}"}
    for ((i = 1; i <= COMP_CWORD; i++)); do
        blanks=${line%%[![:blank:]]*}
        line=${line#"$blanks"}
        word=${COMP_WORDS[i]}
        if ((i == COMP_CWORD)); then
            word=$line
        fi
        if [[ -n $blanks || i -eq 1 ]]; then
            words+=("")
            ((last += 1))
        fi
        words[last]+=$word
        line=${line#"$word"}
    done
    # In quotes nothing is taken apart; and what bash replaces is the last part alone.
    local before=
    case ${words[last]} in
        [\"\']*) words[last]=$2 ;;
        *"$2") before=${words[last]%"$2"} ;;
    esac
    local space=true
    if compopt +o nospace 2>/dev/null; then
        space=false
    fi
    COMPREPLY=($(
        _CLAP_IFS="$IFS" _CLAP_COMPLETE_INDEX="$last" _CLAP_COMPLETE_COMP_TYPE="$COMP_TYPE" \
            _CLAP_COMPLETE_SPACE="$space" COFFER_COMPLETE=bash coffer -- "${words[@]}"
    ))
    if [[ $? != 0 ]]; then
        unset COMPREPLY
        return
    fi
    for i in "${!COMPREPLY[@]}"; do
        COMPREPLY[i]=${COMPREPLY[i]#"$before"}
    done
    if [[ $space == false && ${COMPREPLY-} =~ [=/:]$ ]]; then
        compopt -o nospace
    fi
}
if [[ ${BASH_VERSINFO[0]} -eq 4 && ${BASH_VERSINFO[1]} -ge 4 || ${BASH_VERSINFO[0]} -gt 4 ]]; then
    complete -o nospace -o bashdefault -o nosort -F _coffer_complete coffer
else
    complete -o nospace -o bashdefault -F _coffer_complete coffer
fi
