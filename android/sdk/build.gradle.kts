// The Android library. `cargo xtask android` makes the same archive without Gradle; run it first: the generated classes and
// the libraries are taken from where it leaves them.
plugins {
    alias(libs.plugins.android.library)
    alias(libs.plugins.kotlin.android)
    `maven-publish`
}

group = "dev.sprat"
version = "0.1.0"

/** What the Rust side made. */
val built = rootDir.resolve("../target/xtask")

android {
    namespace = "dev.sprat"
    compileSdk = 36
    ndkVersion = "28.2.13676358" // of 28 and newer, pages of 16 KB are the default

    defaultConfig {
        minSdk = 26
        consumerProguardFiles("consumer-rules.pro")
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") }
    }
    sourceSets["main"].apply {
        kotlin.srcDirs("src/main/kotlin", "src/android/kotlin", built.resolve("kotlin/generated"))
        jniLibs.srcDir(built.resolve("android/package/content/jni"))
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    // The tests are the JVM's: they run with `cargo xtask test --only kotlin`.
    sourceSets["test"].kotlin.setSrcDirs(emptyList<File>())
    publishing {
        singleVariant("release") {
            withSourcesJar()
            withJavadocJar()
        }
    }
}

kotlin {
    compilerOptions { jvmTarget = org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_17 }
}

dependencies {
    api(libs.coroutines.core) // Flow is in the public API
    // The archive, not the jar: only it has JNA's library for Android.
    implementation(libs.jna) { artifact { type = "aar" } }
}

publishing {
    publications.register<MavenPublication>("release") {
        artifactId = "sprat-android"
        afterEvaluate { from(components["release"]) }
        pom {
            name = "Sprat"
            description = "Small language models inside apps."
            licenses {
                license {
                    name = "MIT"
                    url = "https://opensource.org/license/mit"
                }
                license {
                    name = "Apache-2.0"
                    url = "https://www.apache.org/licenses/LICENSE-2.0.txt"
                }
            }
        }
    }
    repositories.maven {
        name = "packages"
        url = uri(rootDir.resolve("../target/packages/android/maven"))
    }
}
